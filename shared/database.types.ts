export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[];

export type Database = {
  "public": {
    Tables: {
      "agents": {
        Row: {
          "created_at": string;
          "description": string;
          "id": string;
          "last_error": string | null;
          "last_heartbeat_at": string | null;
          "metadata": NonNullable<Json>;
          "model": string | null;
          "name": string;
          "role": string;
          "skills": (string)[];
          "status": string;
          "status_changed_at": string;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "description"?: string;
          "id"?: string;
          "last_error"?: string | null;
          "last_heartbeat_at"?: string | null;
          "metadata"?: NonNullable<Json>;
          "model"?: string | null;
          "name": string;
          "role"?: string;
          "skills"?: (string)[];
          "status"?: string;
          "status_changed_at"?: string;
          "updated_at"?: string;
        };
        Update: {
          "created_at"?: string;
          "description"?: string;
          "id"?: string;
          "last_error"?: string | null;
          "last_heartbeat_at"?: string | null;
          "metadata"?: NonNullable<Json>;
          "model"?: string | null;
          "name"?: string;
          "role"?: string;
          "skills"?: (string)[];
          "status"?: string;
          "status_changed_at"?: string;
          "updated_at"?: string;
        };
        Relationships: [];
      };
      "api_key_health": {
        Row: {
          "checked_at": string | null;
          "consecutive_failures": number;
          "created_at": string;
          "error_message": string | null;
          "expires_at": string | null;
          "http_status": number | null;
          "id": string;
          "key_last_four": string | null;
          "key_name": string;
          "latency_ms": number | null;
          "provider": string;
          "rate_limit": number | null;
          "rate_limit_remaining": number | null;
          "rate_limit_resets_at": string | null;
          "status": string;
          "status_since": string;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "checked_at"?: string | null;
          "consecutive_failures"?: number;
          "created_at"?: string;
          "error_message"?: string | null;
          "expires_at"?: string | null;
          "http_status"?: number | null;
          "id"?: string;
          "key_last_four"?: string | null;
          "key_name"?: string;
          "latency_ms"?: number | null;
          "provider": string;
          "rate_limit"?: number | null;
          "rate_limit_remaining"?: number | null;
          "rate_limit_resets_at"?: string | null;
          "status"?: string;
          "status_since"?: string;
          "updated_at"?: string;
        };
        Update: {
          "checked_at"?: string | null;
          "consecutive_failures"?: number;
          "created_at"?: string;
          "error_message"?: string | null;
          "expires_at"?: string | null;
          "http_status"?: number | null;
          "id"?: string;
          "key_last_four"?: string | null;
          "key_name"?: string;
          "latency_ms"?: number | null;
          "provider"?: string;
          "rate_limit"?: number | null;
          "rate_limit_remaining"?: number | null;
          "rate_limit_resets_at"?: string | null;
          "status"?: string;
          "status_since"?: string;
          "updated_at"?: string;
        };
        Relationships: [];
      };
      "batch_jobs": {
        Row: {
          "batch_date": string;
          "claim_from": NonNullable<Json>;
          "completed_at": string | null;
          "created_at": string;
          "given_back": boolean;
          "id": string;
          "last_heartbeat": string | null;
          "last_progress_at": string | null;
          "organization_id": string;
          "reasons": NonNullable<Json>;
          "rerun": number;
          "resumed_at": string | null;
          "resumes": number;
          "run_id": string | null;
          "started_at": string | null;
          "status": string;
          "tasks_completed": number;
          "tasks_failed": number;
          "tasks_total": number;
          "time_zone": string;
        };
        ComputedFields: never;
        Insert: {
          "batch_date": string;
          "claim_from"?: NonNullable<Json>;
          "completed_at"?: string | null;
          "created_at"?: string;
          "given_back"?: boolean;
          "id"?: string;
          "last_heartbeat"?: string | null;
          "last_progress_at"?: string | null;
          "organization_id": string;
          "reasons"?: NonNullable<Json>;
          "rerun"?: number;
          "resumed_at"?: string | null;
          "resumes"?: number;
          "run_id"?: string | null;
          "started_at"?: string | null;
          "status"?: string;
          "tasks_completed"?: number;
          "tasks_failed"?: number;
          "tasks_total"?: number;
          "time_zone": string;
        };
        Update: {
          "batch_date"?: string;
          "claim_from"?: NonNullable<Json>;
          "completed_at"?: string | null;
          "created_at"?: string;
          "given_back"?: boolean;
          "id"?: string;
          "last_heartbeat"?: string | null;
          "last_progress_at"?: string | null;
          "organization_id"?: string;
          "reasons"?: NonNullable<Json>;
          "rerun"?: number;
          "resumed_at"?: string | null;
          "resumes"?: number;
          "run_id"?: string | null;
          "started_at"?: string | null;
          "status"?: string;
          "tasks_completed"?: number;
          "tasks_failed"?: number;
          "tasks_total"?: number;
          "time_zone"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "batch_jobs_organization_id_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
        ];
      };
      "batch_providers": {
        Row: {
          "api_key_variable": string;
          "api_url_variable": string;
          "completion_usd_per_million": number;
          "concurrency": number;
          "created_at": string;
          "enabled": boolean;
          "failures_in_row": number;
          "fallback_provider": string | null;
          "last_error": string | null;
          "max_completion_tokens": number;
          "max_prompt_characters": number;
          "model": string;
          "name": string;
          "open_until": string | null;
          "prompt_usd_per_million": number;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "api_key_variable": string;
          "api_url_variable": string;
          "completion_usd_per_million"?: number;
          "concurrency"?: number;
          "created_at"?: string;
          "enabled"?: boolean;
          "failures_in_row"?: number;
          "fallback_provider"?: string | null;
          "last_error"?: string | null;
          "max_completion_tokens"?: number;
          "max_prompt_characters"?: number;
          "model": string;
          "name": string;
          "open_until"?: string | null;
          "prompt_usd_per_million"?: number;
          "updated_at"?: string;
        };
        Update: {
          "api_key_variable"?: string;
          "api_url_variable"?: string;
          "completion_usd_per_million"?: number;
          "concurrency"?: number;
          "created_at"?: string;
          "enabled"?: boolean;
          "failures_in_row"?: number;
          "fallback_provider"?: string | null;
          "last_error"?: string | null;
          "max_completion_tokens"?: number;
          "max_prompt_characters"?: number;
          "model"?: string;
          "name"?: string;
          "open_until"?: string | null;
          "prompt_usd_per_million"?: number;
          "updated_at"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "batch_providers_fallback_provider_fkey";
            columns: ["fallback_provider"];
            isOneToOne: false;
            referencedRelation: "batch_providers";
            referencedColumns: ["name"];
          },
        ];
      };
      "batch_tasks": {
        Row: {
          "answer": string | null;
          "answered_by": string | null;
          "asks_fallback": boolean;
          "attempts": number;
          "completed_at": string | null;
          "completion_tokens": number | null;
          "cost_usd": number | null;
          "error_message": string | null;
          "failures": number;
          "id": number;
          "job_id": string;
          "latency_ms": number | null;
          "model": string | null;
          "prompt_id": string;
          "prompt_tokens": number | null;
          "provider": string;
          "run_after": string | null;
          "status": string;
        };
        ComputedFields: never;
        Insert: {
          "answer"?: string | null;
          "answered_by"?: string | null;
          "asks_fallback"?: boolean;
          "attempts"?: number;
          "completed_at"?: string | null;
          "completion_tokens"?: number | null;
          "cost_usd"?: number | null;
          "error_message"?: string | null;
          "failures"?: number;
          "id"?: never;
          "job_id": string;
          "latency_ms"?: number | null;
          "model"?: string | null;
          "prompt_id": string;
          "prompt_tokens"?: number | null;
          "provider": string;
          "run_after"?: string | null;
          "status"?: string;
        };
        Update: {
          "answer"?: string | null;
          "answered_by"?: string | null;
          "asks_fallback"?: boolean;
          "attempts"?: number;
          "completed_at"?: string | null;
          "completion_tokens"?: number | null;
          "cost_usd"?: number | null;
          "error_message"?: string | null;
          "failures"?: number;
          "id"?: never;
          "job_id"?: string;
          "latency_ms"?: number | null;
          "model"?: string | null;
          "prompt_id"?: string;
          "prompt_tokens"?: number | null;
          "provider"?: string;
          "run_after"?: string | null;
          "status"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "batch_tasks_job_id_fkey";
            columns: ["job_id"];
            isOneToOne: false;
            referencedRelation: "batch_jobs";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "batch_tasks_prompt_id_fkey";
            columns: ["prompt_id"];
            isOneToOne: false;
            referencedRelation: "prompts";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "batch_tasks_provider_fkey";
            columns: ["provider"];
            isOneToOne: false;
            referencedRelation: "batch_providers";
            referencedColumns: ["name"];
          },
        ];
      };
      "charging_sessions": {
        Row: {
          "connection_session_id": string | null;
          "device_id": string;
          "efficiency_percent": number | null;
          "end_battery_percent": number | null;
          "ended_at": string | null;
          "energy_wh": number | null;
          "id": string;
          "last_reading_at": string | null;
          "metadata": NonNullable<Json>;
          "start_battery_percent": number | null;
          "started_at": string;
          "status": string;
        };
        ComputedFields: never;
        Insert: {
          "connection_session_id"?: string | null;
          "device_id": string;
          "efficiency_percent"?: number | null;
          "end_battery_percent"?: number | null;
          "ended_at"?: string | null;
          "energy_wh"?: number | null;
          "id"?: string;
          "last_reading_at"?: string | null;
          "metadata"?: NonNullable<Json>;
          "start_battery_percent"?: number | null;
          "started_at"?: string;
          "status"?: string;
        };
        Update: {
          "connection_session_id"?: string | null;
          "device_id"?: string;
          "efficiency_percent"?: number | null;
          "end_battery_percent"?: number | null;
          "ended_at"?: string | null;
          "energy_wh"?: number | null;
          "id"?: string;
          "last_reading_at"?: string | null;
          "metadata"?: NonNullable<Json>;
          "start_battery_percent"?: number | null;
          "started_at"?: string;
          "status"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "charging_sessions_connection_session_id_fkey";
            columns: ["connection_session_id"];
            isOneToOne: false;
            referencedRelation: "device_connection_sessions";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "charging_sessions_device_id_fkey";
            columns: ["device_id"];
            isOneToOne: false;
            referencedRelation: "devices";
            referencedColumns: ["id"];
          },
        ];
      };
      "code_failure_causes": {
        Row: {
          "created_at": string;
          "error_type": string;
          "fingerprint": string;
          "first_seen_at": string;
          "fix_claimed_until": string | null;
          "fix_request_id": string | null;
          "fix_requests": number;
          "id": number;
          "last_fix_requested_at": string | null;
          "last_seen_at": string;
          "normalized_traceback": string;
          "occurrences": number;
          "reopened_count": number;
          "status": string;
          "status_changed_at": string;
          "status_changed_by": string | null;
          "status_reason": string | null;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "error_type": string;
          "fingerprint": string;
          "first_seen_at": string;
          "fix_claimed_until"?: string | null;
          "fix_request_id"?: string | null;
          "fix_requests"?: number;
          "id"?: never;
          "last_fix_requested_at"?: string | null;
          "last_seen_at": string;
          "normalized_traceback": string;
          "occurrences": number;
          "reopened_count"?: number;
          "status"?: string;
          "status_changed_at": string;
          "status_changed_by"?: string | null;
          "status_reason"?: string | null;
        };
        Update: {
          "created_at"?: string;
          "error_type"?: string;
          "fingerprint"?: string;
          "first_seen_at"?: string;
          "fix_claimed_until"?: string | null;
          "fix_request_id"?: string | null;
          "fix_requests"?: number;
          "id"?: never;
          "last_fix_requested_at"?: string | null;
          "last_seen_at"?: string;
          "normalized_traceback"?: string;
          "occurrences"?: number;
          "reopened_count"?: number;
          "status"?: string;
          "status_changed_at"?: string;
          "status_changed_by"?: string | null;
          "status_reason"?: string | null;
        };
        Relationships: [];
      };
      "code_fix_proposals": {
        Row: {
          "answered_at": string | null;
          "asked_until": string;
          "cause_id": number;
          "completion_tokens": number | null;
          "confidence": number | null;
          "cost_usd": number | null;
          "created_at": string;
          "decided_at": string | null;
          "decided_by": string | null;
          "decision_reason": string | null;
          "diff": string | null;
          "error_message": string | null;
          "execution_id": string | null;
          "id": number;
          "model": string;
          "prompt_tokens": number | null;
          "reasoning": string | null;
          "request_id": string;
          "reserved_cost_usd": number | null;
          "reserved_tokens": number;
          "status": string;
          "usage_unknown": boolean;
        };
        ComputedFields: never;
        Insert: {
          "answered_at"?: string | null;
          "asked_until": string;
          "cause_id": number;
          "completion_tokens"?: number | null;
          "confidence"?: number | null;
          "cost_usd"?: number | null;
          "created_at"?: string;
          "decided_at"?: string | null;
          "decided_by"?: string | null;
          "decision_reason"?: string | null;
          "diff"?: string | null;
          "error_message"?: string | null;
          "execution_id"?: string | null;
          "id"?: never;
          "model": string;
          "prompt_tokens"?: number | null;
          "reasoning"?: string | null;
          "request_id": string;
          "reserved_cost_usd"?: number | null;
          "reserved_tokens": number;
          "status"?: string;
          "usage_unknown"?: boolean;
        };
        Update: {
          "answered_at"?: string | null;
          "asked_until"?: string;
          "cause_id"?: number;
          "completion_tokens"?: number | null;
          "confidence"?: number | null;
          "cost_usd"?: number | null;
          "created_at"?: string;
          "decided_at"?: string | null;
          "decided_by"?: string | null;
          "decision_reason"?: string | null;
          "diff"?: string | null;
          "error_message"?: string | null;
          "execution_id"?: string | null;
          "id"?: never;
          "model"?: string;
          "prompt_tokens"?: number | null;
          "reasoning"?: string | null;
          "request_id"?: string;
          "reserved_cost_usd"?: number | null;
          "reserved_tokens"?: number;
          "status"?: string;
          "usage_unknown"?: boolean;
        };
        Relationships: [
          {
            foreignKeyName: "code_fix_proposals_cause_id_fkey";
            columns: ["cause_id"];
            isOneToOne: false;
            referencedRelation: "code_failure_causes";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "code_fix_proposals_execution_id_fkey";
            columns: ["execution_id"];
            isOneToOne: false;
            referencedRelation: "eliza_python_executions";
            referencedColumns: ["id"];
          },
        ];
      };
      "conversations": {
        Row: {
          "agent_id": string | null;
          "channel": string;
          "closed_at": string | null;
          "created_at": string;
          "error_message": string | null;
          "external_id": string | null;
          "id": string;
          "last_agent_message_at": string | null;
          "last_user_message_at": string | null;
          "message_count": number;
          "status": string;
          "title": string;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "agent_id"?: string | null;
          "channel"?: string;
          "closed_at"?: string | null;
          "created_at"?: string;
          "error_message"?: string | null;
          "external_id"?: string | null;
          "id"?: string;
          "last_agent_message_at"?: string | null;
          "last_user_message_at"?: string | null;
          "message_count"?: number;
          "status"?: string;
          "title"?: string;
          "updated_at"?: string;
        };
        Update: {
          "agent_id"?: string | null;
          "channel"?: string;
          "closed_at"?: string | null;
          "created_at"?: string;
          "error_message"?: string | null;
          "external_id"?: string | null;
          "id"?: string;
          "last_agent_message_at"?: string | null;
          "last_user_message_at"?: string | null;
          "message_count"?: number;
          "status"?: string;
          "title"?: string;
          "updated_at"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "conversations_agent_id_fkey";
            columns: ["agent_id"];
            isOneToOne: false;
            referencedRelation: "agents";
            referencedColumns: ["id"];
          },
        ];
      };
      "device_activity_log": {
        Row: {
          "activity_type": string;
          "details": Json | null;
          "device_id": string;
          "id": number;
          "occurred_at": string;
          "severity": string;
        };
        ComputedFields: never;
        Insert: {
          "activity_type": string;
          "details"?: Json | null;
          "device_id": string;
          "id"?: number;
          "occurred_at"?: string;
          "severity"?: string;
        };
        Update: {
          "activity_type"?: string;
          "details"?: Json | null;
          "device_id"?: string;
          "id"?: number;
          "occurred_at"?: string;
          "severity"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "device_activity_log_device_id_fkey";
            columns: ["device_id"];
            isOneToOne: false;
            referencedRelation: "devices";
            referencedColumns: ["id"];
          },
        ];
      };
      "device_connection_sessions": {
        Row: {
          "app_version": string | null;
          "connected_at": string;
          "device_id": string;
          "disconnect_reason": string | null;
          "disconnected_at": string | null;
          "id": string;
          "ip_address": unknown;
          "last_heartbeat_at": string | null;
          "metadata": NonNullable<Json>;
          "session_key": string | null;
          "status": string;
        };
        ComputedFields: never;
        Insert: {
          "app_version"?: string | null;
          "connected_at"?: string;
          "device_id": string;
          "disconnect_reason"?: string | null;
          "disconnected_at"?: string | null;
          "id"?: string;
          "ip_address"?: unknown;
          "last_heartbeat_at"?: string | null;
          "metadata"?: NonNullable<Json>;
          "session_key"?: string | null;
          "status"?: string;
        };
        Update: {
          "app_version"?: string | null;
          "connected_at"?: string;
          "device_id"?: string;
          "disconnect_reason"?: string | null;
          "disconnected_at"?: string | null;
          "id"?: string;
          "ip_address"?: unknown;
          "last_heartbeat_at"?: string | null;
          "metadata"?: NonNullable<Json>;
          "session_key"?: string | null;
          "status"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "device_connection_sessions_device_id_fkey";
            columns: ["device_id"];
            isOneToOne: false;
            referencedRelation: "devices";
            referencedColumns: ["id"];
          },
        ];
      };
      "device_metrics_summary": {
        Row: {
          "active_devices": number;
          "activity_errors": number;
          "activity_events": number;
          "charging_efficiency_percent": number | null;
          "charging_seconds": number;
          "charging_sessions_started": number;
          "commands_completed": number;
          "commands_expired": number;
          "commands_failed": number;
          "commands_issued": number;
          "computed_at": string;
          "connected_seconds": number;
          "connections_started": number;
          "device_id": string | null;
          "device_key": string;
          "efficiency_energy_wh": number;
          "efficiency_weight": number;
          "energy_wh": number;
          "granularity": string;
          "period_start": string;
          "pop_events": number;
          "pop_events_rejected": number;
          "pop_events_validated": number;
          "pop_points": number;
        };
        ComputedFields: never;
        Insert: {
          "active_devices"?: number;
          "activity_errors"?: number;
          "activity_events"?: number;
          "charging_efficiency_percent"?: never;
          "charging_seconds"?: number;
          "charging_sessions_started"?: number;
          "commands_completed"?: number;
          "commands_expired"?: number;
          "commands_failed"?: number;
          "commands_issued"?: number;
          "computed_at"?: string;
          "connected_seconds"?: number;
          "connections_started"?: number;
          "device_id"?: string | null;
          "device_key"?: never;
          "efficiency_energy_wh"?: number;
          "efficiency_weight"?: number;
          "energy_wh"?: number;
          "granularity": string;
          "period_start": string;
          "pop_events"?: number;
          "pop_events_rejected"?: number;
          "pop_events_validated"?: number;
          "pop_points"?: number;
        };
        Update: {
          "active_devices"?: number;
          "activity_errors"?: number;
          "activity_events"?: number;
          "charging_efficiency_percent"?: never;
          "charging_seconds"?: number;
          "charging_sessions_started"?: number;
          "commands_completed"?: number;
          "commands_expired"?: number;
          "commands_failed"?: number;
          "commands_issued"?: number;
          "computed_at"?: string;
          "connected_seconds"?: number;
          "connections_started"?: number;
          "device_id"?: string | null;
          "device_key"?: never;
          "efficiency_energy_wh"?: number;
          "efficiency_weight"?: number;
          "energy_wh"?: number;
          "granularity"?: string;
          "period_start"?: string;
          "pop_events"?: number;
          "pop_events_rejected"?: number;
          "pop_events_validated"?: number;
          "pop_points"?: number;
        };
        Relationships: [];
      };
      "devices": {
        Row: {
          "app_version": string | null;
          "battery_percent": number | null;
          "claimed_by": string | null;
          "device_fingerprint": string;
          "device_type": string;
          "id": string;
          "last_seen_at": string | null;
          "metadata": NonNullable<Json>;
          "name": string | null;
          "os": string | null;
          "registered_at": string;
          "status": string;
          "wallet_address": string | null;
        };
        ComputedFields: never;
        Insert: {
          "app_version"?: string | null;
          "battery_percent"?: number | null;
          "claimed_by"?: string | null;
          "device_fingerprint": string;
          "device_type"?: string;
          "id"?: string;
          "last_seen_at"?: string | null;
          "metadata"?: NonNullable<Json>;
          "name"?: string | null;
          "os"?: string | null;
          "registered_at"?: string;
          "status"?: string;
          "wallet_address"?: string | null;
        };
        Update: {
          "app_version"?: string | null;
          "battery_percent"?: number | null;
          "claimed_by"?: string | null;
          "device_fingerprint"?: string;
          "device_type"?: string;
          "id"?: string;
          "last_seen_at"?: string | null;
          "metadata"?: NonNullable<Json>;
          "name"?: string | null;
          "os"?: string | null;
          "registered_at"?: string;
          "status"?: string;
          "wallet_address"?: string | null;
        };
        Relationships: [];
      };
      "ecosystem_comments": {
        Row: {
          "claimed_at": string;
          "comment_id": number | null;
          "comment_url": string | null;
          "day": string;
          "issue": string;
          "may_arrive_until": string;
          "posted_at": string | null;
          "problem": string | null;
          "run_id": string;
          "state": string;
        };
        ComputedFields: never;
        Insert: {
          "claimed_at": string;
          "comment_id"?: number | null;
          "comment_url"?: string | null;
          "day": string;
          "issue": string;
          "may_arrive_until": string;
          "posted_at"?: string | null;
          "problem"?: string | null;
          "run_id": string;
          "state": string;
        };
        Update: {
          "claimed_at"?: string;
          "comment_id"?: number | null;
          "comment_url"?: string | null;
          "day"?: string;
          "issue"?: string;
          "may_arrive_until"?: string;
          "posted_at"?: string | null;
          "problem"?: string | null;
          "run_id"?: string;
          "state"?: string;
        };
        Relationships: [];
      };
      "ecosystem_reports": {
        Row: {
          "activity_score": number | null;
          "created_at": string;
          "day": string;
          "figures": NonNullable<Json>;
          "headline": string;
          "infrastructure_score": number | null;
          "overall_score": number | null;
          "report": string;
          "scores": NonNullable<Json>;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "activity_score"?: number | null;
          "created_at"?: string;
          "day": string;
          "figures": NonNullable<Json>;
          "headline": string;
          "infrastructure_score"?: number | null;
          "overall_score"?: number | null;
          "report": string;
          "scores": NonNullable<Json>;
          "updated_at"?: string;
        };
        Update: {
          "activity_score"?: number | null;
          "created_at"?: string;
          "day"?: string;
          "figures"?: NonNullable<Json>;
          "headline"?: string;
          "infrastructure_score"?: number | null;
          "overall_score"?: number | null;
          "report"?: string;
          "scores"?: NonNullable<Json>;
          "updated_at"?: string;
        };
        Relationships: [];
      };
      "ecosystem_repositories": {
        Row: {
          "added_at": string;
          "enabled": boolean;
          "full_name": string;
          "github_name": string | null;
          "gone_since": string | null;
          "id": number;
          "last_asked_at": string | null;
          "last_outcome": string | null;
          "last_problem": string | null;
        };
        ComputedFields: never;
        Insert: {
          "added_at"?: string;
          "enabled"?: boolean;
          "full_name": string;
          "github_name"?: string | null;
          "gone_since"?: string | null;
          "id"?: never;
          "last_asked_at"?: string | null;
          "last_outcome"?: string | null;
          "last_problem"?: string | null;
        };
        Update: {
          "added_at"?: string;
          "enabled"?: boolean;
          "full_name"?: string;
          "github_name"?: string | null;
          "gone_since"?: string | null;
          "id"?: never;
          "last_asked_at"?: string | null;
          "last_outcome"?: string | null;
          "last_problem"?: string | null;
        };
        Relationships: [];
      };
      "eliza_python_executions": {
        Row: {
          "agent_id": string | null;
          "cause_id": number | null;
          "code": string;
          "created_at": string;
          "duration_ms": number | null;
          "error_type": string | null;
          "exit_code": number | null;
          "finished_at": string | null;
          "id": string;
          "purpose": string;
          "started_at": string | null;
          "status": string;
          "stderr": string | null;
          "stdout": string | null;
          "task_id": string | null;
          "timeout_seconds": number;
          "traceback": string | null;
        };
        ComputedFields: never;
        Insert: {
          "agent_id"?: string | null;
          "cause_id"?: number | null;
          "code": string;
          "created_at"?: string;
          "duration_ms"?: number | null;
          "error_type"?: string | null;
          "exit_code"?: number | null;
          "finished_at"?: string | null;
          "id"?: string;
          "purpose"?: string;
          "started_at"?: string | null;
          "status"?: string;
          "stderr"?: string | null;
          "stdout"?: string | null;
          "task_id"?: string | null;
          "timeout_seconds"?: number;
          "traceback"?: string | null;
        };
        Update: {
          "agent_id"?: string | null;
          "cause_id"?: number | null;
          "code"?: string;
          "created_at"?: string;
          "duration_ms"?: number | null;
          "error_type"?: string | null;
          "exit_code"?: number | null;
          "finished_at"?: string | null;
          "id"?: string;
          "purpose"?: string;
          "started_at"?: string | null;
          "status"?: string;
          "stderr"?: string | null;
          "stdout"?: string | null;
          "task_id"?: string | null;
          "timeout_seconds"?: number;
          "traceback"?: string | null;
        };
        Relationships: [
          {
            foreignKeyName: "eliza_python_executions_agent_id_fkey";
            columns: ["agent_id"];
            isOneToOne: false;
            referencedRelation: "agents";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "eliza_python_executions_cause_id_fkey";
            columns: ["cause_id"];
            isOneToOne: false;
            referencedRelation: "code_failure_causes";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "eliza_python_executions_task_id_fkey";
            columns: ["task_id"];
            isOneToOne: false;
            referencedRelation: "tasks";
            referencedColumns: ["id"];
          },
        ];
      };
      "engagement_commands": {
        Row: {
          "acknowledged_at": string | null;
          "command_type": string;
          "device_id": string;
          "error_message": string | null;
          "expires_at": string | null;
          "finished_at": string | null;
          "handed_over_count": number;
          "handed_to_session_id": string | null;
          "id": string;
          "issued_at": string;
          "issued_by": string | null;
          "payload": NonNullable<Json>;
          "priority": number;
          "result": Json | null;
          "sent_at": string | null;
          "status": string;
        };
        ComputedFields: never;
        Insert: {
          "acknowledged_at"?: string | null;
          "command_type": string;
          "device_id": string;
          "error_message"?: string | null;
          "expires_at"?: string | null;
          "finished_at"?: string | null;
          "handed_over_count"?: number;
          "handed_to_session_id"?: string | null;
          "id"?: string;
          "issued_at"?: string;
          "issued_by"?: string | null;
          "payload"?: NonNullable<Json>;
          "priority"?: number;
          "result"?: Json | null;
          "sent_at"?: string | null;
          "status"?: string;
        };
        Update: {
          "acknowledged_at"?: string | null;
          "command_type"?: string;
          "device_id"?: string;
          "error_message"?: string | null;
          "expires_at"?: string | null;
          "finished_at"?: string | null;
          "handed_over_count"?: number;
          "handed_to_session_id"?: string | null;
          "id"?: string;
          "issued_at"?: string;
          "issued_by"?: string | null;
          "payload"?: NonNullable<Json>;
          "priority"?: number;
          "result"?: Json | null;
          "sent_at"?: string | null;
          "status"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "engagement_commands_device_id_fkey";
            columns: ["device_id"];
            isOneToOne: false;
            referencedRelation: "devices";
            referencedColumns: ["id"];
          },
        ];
      };
      "organizations": {
        Row: {
          "created_at": string;
          "daily_run_at": string | null;
          "enabled": boolean;
          "id": string;
          "name": string;
          "next_batch_at": string | null;
          "time_zone": string | null;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "daily_run_at"?: string | null;
          "enabled"?: boolean;
          "id"?: string;
          "name": string;
          "next_batch_at"?: string | null;
          "time_zone"?: string | null;
          "updated_at"?: string;
        };
        Update: {
          "created_at"?: string;
          "daily_run_at"?: string | null;
          "enabled"?: boolean;
          "id"?: string;
          "name"?: string;
          "next_batch_at"?: string | null;
          "time_zone"?: string | null;
          "updated_at"?: string;
        };
        Relationships: [];
      };
      "pop_events_ledger": {
        Row: {
          "details": NonNullable<Json>;
          "device_id": string;
          "event_type": string;
          "id": string;
          "occurred_at": string;
          "paid_out_at": string | null;
          "points": number;
          "status": string;
          "transaction_hash": string | null;
          "validated_at": string | null;
          "validation_method": string | null;
          "wallet_address": string | null;
        };
        ComputedFields: never;
        Insert: {
          "details"?: NonNullable<Json>;
          "device_id": string;
          "event_type": string;
          "id"?: string;
          "occurred_at"?: string;
          "paid_out_at"?: string | null;
          "points"?: number;
          "status"?: string;
          "transaction_hash"?: string | null;
          "validated_at"?: string | null;
          "validation_method"?: string | null;
          "wallet_address"?: string | null;
        };
        Update: {
          "details"?: NonNullable<Json>;
          "device_id"?: string;
          "event_type"?: string;
          "id"?: string;
          "occurred_at"?: string;
          "paid_out_at"?: string | null;
          "points"?: number;
          "status"?: string;
          "transaction_hash"?: string | null;
          "validated_at"?: string | null;
          "validation_method"?: string | null;
          "wallet_address"?: string | null;
        };
        Relationships: [
          {
            foreignKeyName: "pop_events_ledger_device_id_fkey";
            columns: ["device_id"];
            isOneToOne: false;
            referencedRelation: "devices";
            referencedColumns: ["id"];
          },
        ];
      };
      "prompts": {
        Row: {
          "created_at": string;
          "decided_at": string | null;
          "decided_by": string | null;
          "id": string;
          "organization_id": string;
          "status": string;
          "suggested_by": string | null;
          "text": string;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "decided_at"?: string | null;
          "decided_by"?: string | null;
          "id"?: string;
          "organization_id": string;
          "status"?: string;
          "suggested_by"?: string | null;
          "text": string;
          "updated_at"?: string;
        };
        Update: {
          "created_at"?: string;
          "decided_at"?: string | null;
          "decided_by"?: string | null;
          "id"?: string;
          "organization_id"?: string;
          "status"?: string;
          "suggested_by"?: string | null;
          "text"?: string;
          "updated_at"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "prompts_organization_id_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
        ];
      };
      "repository_activity": {
        Row: {
          "commits": number | null;
          "created_at": string;
          "day": string;
          "issues_closed": number | null;
          "issues_opened": number | null;
          "pull_requests_merged": number | null;
          "pull_requests_opened": number | null;
          "releases": number | null;
          "repository_id": number;
          "stars_gained": number | null;
          "stars_since": string | null;
          "stars_total": number | null;
          "truncated": (string)[];
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "commits"?: number | null;
          "created_at"?: string;
          "day": string;
          "issues_closed"?: number | null;
          "issues_opened"?: number | null;
          "pull_requests_merged"?: number | null;
          "pull_requests_opened"?: number | null;
          "releases"?: number | null;
          "repository_id": number;
          "stars_gained"?: number | null;
          "stars_since"?: string | null;
          "stars_total"?: number | null;
          "truncated"?: (string)[];
          "updated_at"?: string;
        };
        Update: {
          "commits"?: number | null;
          "created_at"?: string;
          "day"?: string;
          "issues_closed"?: number | null;
          "issues_opened"?: number | null;
          "pull_requests_merged"?: number | null;
          "pull_requests_opened"?: number | null;
          "releases"?: number | null;
          "repository_id"?: number;
          "stars_gained"?: number | null;
          "stars_since"?: string | null;
          "stars_total"?: number | null;
          "truncated"?: (string)[];
          "updated_at"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "repository_activity_repository_id_fkey";
            columns: ["repository_id"];
            isOneToOne: false;
            referencedRelation: "ecosystem_repositories";
            referencedColumns: ["id"];
          },
        ];
      };
      "scheduled_action_occurrences": {
        Row: {
          "action_id": string;
          "attempts": number;
          "error_message": string | null;
          "finished_at": string;
          "http_status": number | null;
          "idempotency_key": string;
          "scheduled_for": string;
          "status": string;
        };
        ComputedFields: never;
        Insert: {
          "action_id": string;
          "attempts": number;
          "error_message"?: string | null;
          "finished_at": string;
          "http_status"?: number | null;
          "idempotency_key": string;
          "scheduled_for": string;
          "status": string;
        };
        Update: {
          "action_id"?: string;
          "attempts"?: number;
          "error_message"?: string | null;
          "finished_at"?: string;
          "http_status"?: number | null;
          "idempotency_key"?: string;
          "scheduled_for"?: string;
          "status"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "scheduled_action_occurrences_action_id_fkey";
            columns: ["action_id"];
            isOneToOne: false;
            referencedRelation: "scheduled_actions";
            referencedColumns: ["id"];
          },
        ];
      };
      "scheduled_actions": {
        Row: {
          "attempts": number;
          "backoff_base_seconds": number;
          "backoff_cap_seconds": number;
          "claim_token": string | null;
          "command_expires_seconds": number | null;
          "command_type": string | null;
          "created_at": string;
          "created_by": string;
          "device_id": string | null;
          "due_at": string;
          "finished_at": string | null;
          "function_name": string | null;
          "id": string;
          "idempotency_key": string;
          "kind": string;
          "last_error": string | null;
          "last_http_status": number | null;
          "locked_until": string | null;
          "max_attempts": number;
          "message": string | null;
          "name": string;
          "next_attempt_at": string;
          "payload": NonNullable<Json>;
          "receiver": string;
          "schedule": string | null;
          "status": string;
          "time_zone": string;
          "url": string | null;
        };
        ComputedFields: never;
        Insert: {
          "attempts"?: number;
          "backoff_base_seconds"?: number;
          "backoff_cap_seconds"?: number;
          "claim_token"?: string | null;
          "command_expires_seconds"?: number | null;
          "command_type"?: string | null;
          "created_at"?: string;
          "created_by"?: string;
          "device_id"?: string | null;
          "due_at": string;
          "finished_at"?: string | null;
          "function_name"?: string | null;
          "id"?: string;
          "idempotency_key"?: never;
          "kind": string;
          "last_error"?: string | null;
          "last_http_status"?: number | null;
          "locked_until"?: string | null;
          "max_attempts"?: number;
          "message"?: string | null;
          "name"?: string;
          "next_attempt_at": string;
          "payload"?: NonNullable<Json>;
          "receiver"?: never;
          "schedule"?: string | null;
          "status"?: string;
          "time_zone"?: string;
          "url"?: string | null;
        };
        Update: {
          "attempts"?: number;
          "backoff_base_seconds"?: number;
          "backoff_cap_seconds"?: number;
          "claim_token"?: string | null;
          "command_expires_seconds"?: number | null;
          "command_type"?: string | null;
          "created_at"?: string;
          "created_by"?: string;
          "device_id"?: string | null;
          "due_at"?: string;
          "finished_at"?: string | null;
          "function_name"?: string | null;
          "id"?: string;
          "idempotency_key"?: never;
          "kind"?: string;
          "last_error"?: string | null;
          "last_http_status"?: number | null;
          "locked_until"?: string | null;
          "max_attempts"?: number;
          "message"?: string | null;
          "name"?: string;
          "next_attempt_at"?: string;
          "payload"?: NonNullable<Json>;
          "receiver"?: never;
          "schedule"?: string | null;
          "status"?: string;
          "time_zone"?: string;
          "url"?: string | null;
        };
        Relationships: [];
      };
      "scheduler_activity": {
        Row: {
          "details": NonNullable<Json>;
          "id": number;
          "message": string;
          "occurred_at": string;
          "run_id": string | null;
          "severity": string;
          "source": string;
        };
        ComputedFields: never;
        Insert: {
          "details"?: NonNullable<Json>;
          "id"?: never;
          "message": string;
          "occurred_at"?: string;
          "run_id"?: string | null;
          "severity"?: string;
          "source": string;
        };
        Update: {
          "details"?: NonNullable<Json>;
          "id"?: never;
          "message"?: string;
          "occurred_at"?: string;
          "run_id"?: string | null;
          "severity"?: string;
          "source"?: string;
        };
        Relationships: [];
      };
      "scheduler_alert_channels": {
        Row: {
          "address_secret": string | null;
          "created_at": string;
          "enabled": boolean;
          "groups": (string)[];
          "jobs": (string)[];
          "kind": string;
          "least_severity": string;
          "name": string;
          "quiet_from": string | null;
          "quiet_until": string | null;
          "sender_secret": string | null;
          "time_zone": string;
          "token_secret": string | null;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "address_secret"?: string | null;
          "created_at"?: string;
          "enabled"?: boolean;
          "groups"?: (string)[];
          "jobs"?: (string)[];
          "kind": string;
          "least_severity"?: string;
          "name": string;
          "quiet_from"?: string | null;
          "quiet_until"?: string | null;
          "sender_secret"?: string | null;
          "time_zone"?: string;
          "token_secret"?: string | null;
          "updated_at"?: string;
        };
        Update: {
          "address_secret"?: string | null;
          "created_at"?: string;
          "enabled"?: boolean;
          "groups"?: (string)[];
          "jobs"?: (string)[];
          "kind"?: string;
          "least_severity"?: string;
          "name"?: string;
          "quiet_from"?: string | null;
          "quiet_until"?: string | null;
          "sender_secret"?: string | null;
          "time_zone"?: string;
          "token_secret"?: string | null;
          "updated_at"?: string;
        };
        Relationships: [];
      };
      "scheduler_alert_deliveries": {
        Row: {
          "alert_id": string | null;
          "channel": string;
          "error": string | null;
          "event": string;
          "finished_at": string | null;
          "id": string;
          "message": NonNullable<Json>;
          "request_id": number | null;
          "response_status": number | null;
          "send_after": string;
          "sent_at": string | null;
          "severity": string;
          "status": string;
          "tries": number;
          "written_at": string;
        };
        ComputedFields: never;
        Insert: {
          "alert_id"?: string | null;
          "channel": string;
          "error"?: string | null;
          "event": string;
          "finished_at"?: string | null;
          "id"?: string;
          "message": NonNullable<Json>;
          "request_id"?: number | null;
          "response_status"?: number | null;
          "send_after": string;
          "sent_at"?: string | null;
          "severity": string;
          "status"?: string;
          "tries"?: number;
          "written_at": string;
        };
        Update: {
          "alert_id"?: string | null;
          "channel"?: string;
          "error"?: string | null;
          "event"?: string;
          "finished_at"?: string | null;
          "id"?: string;
          "message"?: NonNullable<Json>;
          "request_id"?: number | null;
          "response_status"?: number | null;
          "send_after"?: string;
          "sent_at"?: string | null;
          "severity"?: string;
          "status"?: string;
          "tries"?: number;
          "written_at"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "scheduler_alert_deliveries_alert_id_fkey";
            columns: ["alert_id"];
            isOneToOne: false;
            referencedRelation: "scheduler_alerts";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "scheduler_alert_deliveries_channel_fkey";
            columns: ["channel"];
            isOneToOne: false;
            referencedRelation: "scheduler_alert_channels";
            referencedColumns: ["name"];
          },
        ];
      };
      "scheduler_alert_rules": {
        Row: {
          "description": string;
          "enabled": boolean;
          "for_seconds": number;
          "rule": string;
          "severity": string;
          "threshold": number;
          "unit": string;
        };
        ComputedFields: never;
        Insert: {
          "description": string;
          "enabled"?: boolean;
          "for_seconds"?: number;
          "rule": string;
          "severity": string;
          "threshold": number;
          "unit": string;
        };
        Update: {
          "description"?: string;
          "enabled"?: boolean;
          "for_seconds"?: number;
          "rule"?: string;
          "severity"?: string;
          "threshold"?: number;
          "unit"?: string;
        };
        Relationships: [];
      };
      "scheduler_alerts": {
        Row: {
          "cause": string;
          "end_kind": string | null;
          "ended_at": string | null;
          "id": string;
          "jobs": (string)[];
          "jobs_now": number;
          "opened_at": string | null;
          "opens_at": string;
          "rule": string;
          "seen_at": string;
          "settled": boolean;
          "severity": string;
        };
        ComputedFields: never;
        Insert: {
          "cause": string;
          "end_kind"?: string | null;
          "ended_at"?: string | null;
          "id"?: string;
          "jobs"?: (string)[];
          "jobs_now"?: number;
          "opened_at"?: string | null;
          "opens_at": string;
          "rule": string;
          "seen_at": string;
          "settled"?: boolean;
          "severity": string;
        };
        Update: {
          "cause"?: string;
          "end_kind"?: string | null;
          "ended_at"?: string | null;
          "id"?: string;
          "jobs"?: (string)[];
          "jobs_now"?: number;
          "opened_at"?: string | null;
          "opens_at"?: string;
          "rule"?: string;
          "seen_at"?: string;
          "settled"?: boolean;
          "severity"?: string;
        };
        Relationships: [];
      };
      "scheduler_audit": {
        Row: {
          "after": Json | null;
          "author": string;
          "before": Json | null;
          "id": number;
          "occurred_at": string;
          "reason": string | null;
          "subject": string;
          "subject_type": string;
          "verb": string;
        };
        ComputedFields: never;
        Insert: {
          "after"?: Json | null;
          "author": string;
          "before"?: Json | null;
          "id"?: never;
          "occurred_at"?: string;
          "reason"?: string | null;
          "subject": string;
          "subject_type": string;
          "verb": string;
        };
        Update: {
          "after"?: Json | null;
          "author"?: string;
          "before"?: Json | null;
          "id"?: never;
          "occurred_at"?: string;
          "reason"?: string | null;
          "subject"?: string;
          "subject_type"?: string;
          "verb"?: string;
        };
        Relationships: [];
      };
      "scheduler_breakers": {
        Row: {
          "failures": number;
          "job_name": string;
          "opened_at": string | null;
          "tried_by": string | null;
        };
        ComputedFields: never;
        Insert: {
          "failures"?: number;
          "job_name": string;
          "opened_at"?: string | null;
          "tried_by"?: string | null;
        };
        Update: {
          "failures"?: number;
          "job_name"?: string;
          "opened_at"?: string | null;
          "tried_by"?: string | null;
        };
        Relationships: [
          {
            foreignKeyName: "scheduler_breakers_job_name_fkey";
            columns: ["job_name"];
            isOneToOne: true;
            referencedRelation: "scheduler_jobs";
            referencedColumns: ["name"];
          },
        ];
      };
      "scheduler_budgets": {
        Row: {
          "ahead_of": string | null;
          "created_at": string;
          "description": string;
          "name": string;
          "per_seconds": number;
          "reserved_until": string | null;
          "resets_at": string | null;
          "taken_at": (string)[];
          "taken_total": (number)[];
          "tokens": number;
          "tokens_left": number;
          "window_kind": string;
        };
        ComputedFields: never;
        Insert: {
          "ahead_of"?: string | null;
          "created_at"?: string;
          "description": string;
          "name": string;
          "per_seconds": number;
          "reserved_until"?: string | null;
          "resets_at"?: string | null;
          "taken_at"?: (string)[];
          "taken_total"?: (number)[];
          "tokens": number;
          "tokens_left": number;
          "window_kind": string;
        };
        Update: {
          "ahead_of"?: string | null;
          "created_at"?: string;
          "description"?: string;
          "name"?: string;
          "per_seconds"?: number;
          "reserved_until"?: string | null;
          "resets_at"?: string | null;
          "taken_at"?: (string)[];
          "taken_total"?: (number)[];
          "tokens"?: number;
          "tokens_left"?: number;
          "window_kind"?: string;
        };
        Relationships: [];
      };
      "scheduler_calendar_spans": {
        Row: {
          "calendar": string;
          "ends_at": string;
          "label": string;
          "starts_at": string;
        };
        ComputedFields: never;
        Insert: {
          "calendar": string;
          "ends_at": string;
          "label": string;
          "starts_at": string;
        };
        Update: {
          "calendar"?: string;
          "ends_at"?: string;
          "label"?: string;
          "starts_at"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "scheduler_calendar_spans_calendar_fkey";
            columns: ["calendar"];
            isOneToOne: false;
            referencedRelation: "scheduler_calendars";
            referencedColumns: ["name"];
          },
        ];
      };
      "scheduler_calendars": {
        Row: {
          "created_at": string;
          "description": string;
          "name": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "description"?: string;
          "name": string;
        };
        Update: {
          "created_at"?: string;
          "description"?: string;
          "name"?: string;
        };
        Relationships: [];
      };
      "scheduler_groups": {
        Row: {
          "created_at": string;
          "description": string;
          "key_limit": number | null;
          "name": string;
          "parallel_limit": number | null;
          "pause_reason": string | null;
          "paused_at": string | null;
          "paused_by": string | null;
          "paused_until": string | null;
          "place": number;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "description"?: string;
          "key_limit"?: number | null;
          "name": string;
          "parallel_limit"?: number | null;
          "pause_reason"?: string | null;
          "paused_at"?: string | null;
          "paused_by"?: string | null;
          "paused_until"?: string | null;
          "place"?: number;
          "updated_at"?: string;
        };
        Update: {
          "created_at"?: string;
          "description"?: string;
          "key_limit"?: number | null;
          "name"?: string;
          "parallel_limit"?: number | null;
          "pause_reason"?: string | null;
          "paused_at"?: string | null;
          "paused_by"?: string | null;
          "paused_until"?: string | null;
          "place"?: number;
          "updated_at"?: string;
        };
        Relationships: [];
      };
      "scheduler_health_history": {
        Row: {
          "checked_at": string;
          "components": NonNullable<Json>;
          "created_at": string;
          "id": number;
          "job_name": string;
          "report": string;
          "scheduled_for": string;
          "score": number;
          "status": string;
          "summary": string;
        };
        ComputedFields: never;
        Insert: {
          "checked_at": string;
          "components": NonNullable<Json>;
          "created_at"?: string;
          "id"?: never;
          "job_name": string;
          "report": string;
          "scheduled_for": string;
          "score": number;
          "status": string;
          "summary": string;
        };
        Update: {
          "checked_at"?: string;
          "components"?: NonNullable<Json>;
          "created_at"?: string;
          "id"?: never;
          "job_name"?: string;
          "report"?: string;
          "scheduled_for"?: string;
          "score"?: number;
          "status"?: string;
          "summary"?: string;
        };
        Relationships: [];
      };
      "scheduler_incidents": {
        Row: {
          "ended_at": string | null;
          "ended_by": string | null;
          "ends_runs": boolean;
          "id": number;
          "ramp_seconds": number | null;
          "reason": string;
          "started_at": string;
          "started_by": string;
        };
        ComputedFields: never;
        Insert: {
          "ended_at"?: string | null;
          "ended_by"?: string | null;
          "ends_runs"?: boolean;
          "id"?: never;
          "ramp_seconds"?: number | null;
          "reason": string;
          "started_at": string;
          "started_by": string;
        };
        Update: {
          "ended_at"?: string | null;
          "ended_by"?: string | null;
          "ends_runs"?: boolean;
          "id"?: never;
          "ramp_seconds"?: number | null;
          "reason"?: string;
          "started_at"?: string;
          "started_by"?: string;
        };
        Relationships: [];
      };
      "scheduler_jobs": {
        Row: {
          "alias": string | null;
          "backoff_base_seconds": number;
          "backoff_cap_seconds": number;
          "breaker_cooldown_seconds": number;
          "breaker_failures": number | null;
          "budgets": NonNullable<Json>;
          "calendars": (string)[];
          "continuous": boolean;
          "created_at": string;
          "cron_entry": string | null;
          "defer_at_most_seconds": number;
          "defer_if": string | null;
          "dependency_timeout_seconds": number;
          "dependents": (string)[];
          "depends_on": (string)[];
          "description": string;
          "enabled": boolean;
          "function_name": string | null;
          "group_name": string | null;
          "group_paused_at": string | null;
          "group_paused_until": string | null;
          "idle_seconds": number;
          "jitter_seconds": number;
          "key_limit": number | null;
          "max_attempts": number;
          "misfire_cap": number;
          "misfire_grace_seconds": number;
          "misfire_policy": string;
          "name": string;
          "next_run_at": string | null;
          "on_dependency_failure": string;
          "on_dependency_timeout": string;
          "overlap_policy": string;
          "parallel_least": number | null;
          "parallel_limit": number | null;
          "pause_reason": string | null;
          "paused_at": string | null;
          "paused_by": string | null;
          "paused_until": string | null;
          "payload": NonNullable<Json>;
          "previous_run_at": string | null;
          "priority": number;
          "priority_ages_after_seconds": number;
          "receipt": string;
          "run_if": string | null;
          "schedule": string | null;
          "secret_name": string;
          "stopped_at": string | null;
          "stopped_until": string | null;
          "stretch_after": number | null;
          "stretch_at_most_seconds": number | null;
          "target": string;
          "time_zone": string;
          "timeout_seconds": number;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "alias"?: string | null;
          "backoff_base_seconds"?: number;
          "backoff_cap_seconds"?: number;
          "breaker_cooldown_seconds"?: number;
          "breaker_failures"?: number | null;
          "budgets"?: NonNullable<Json>;
          "calendars"?: (string)[];
          "continuous"?: boolean;
          "created_at"?: string;
          "cron_entry"?: string | null;
          "defer_at_most_seconds"?: number;
          "defer_if"?: string | null;
          "dependency_timeout_seconds"?: number;
          "dependents"?: (string)[];
          "depends_on"?: (string)[];
          "description"?: string;
          "enabled"?: boolean;
          "function_name"?: never;
          "group_name"?: string | null;
          "group_paused_at"?: string | null;
          "group_paused_until"?: string | null;
          "idle_seconds"?: number;
          "jitter_seconds"?: number;
          "key_limit"?: number | null;
          "max_attempts"?: number;
          "misfire_cap"?: number;
          "misfire_grace_seconds"?: number;
          "misfire_policy"?: string;
          "name": string;
          "next_run_at"?: string | null;
          "on_dependency_failure"?: string;
          "on_dependency_timeout"?: string;
          "overlap_policy"?: string;
          "parallel_least"?: number | null;
          "parallel_limit"?: number | null;
          "pause_reason"?: string | null;
          "paused_at"?: string | null;
          "paused_by"?: string | null;
          "paused_until"?: string | null;
          "payload"?: NonNullable<Json>;
          "previous_run_at"?: string | null;
          "priority"?: number;
          "priority_ages_after_seconds"?: number;
          "receipt"?: string;
          "run_if"?: string | null;
          "schedule"?: string | null;
          "secret_name"?: string;
          "stopped_at"?: string | null;
          "stopped_until"?: string | null;
          "stretch_after"?: number | null;
          "stretch_at_most_seconds"?: number | null;
          "target": string;
          "time_zone"?: string;
          "timeout_seconds"?: number;
          "updated_at"?: string;
        };
        Update: {
          "alias"?: string | null;
          "backoff_base_seconds"?: number;
          "backoff_cap_seconds"?: number;
          "breaker_cooldown_seconds"?: number;
          "breaker_failures"?: number | null;
          "budgets"?: NonNullable<Json>;
          "calendars"?: (string)[];
          "continuous"?: boolean;
          "created_at"?: string;
          "cron_entry"?: string | null;
          "defer_at_most_seconds"?: number;
          "defer_if"?: string | null;
          "dependency_timeout_seconds"?: number;
          "dependents"?: (string)[];
          "depends_on"?: (string)[];
          "description"?: string;
          "enabled"?: boolean;
          "function_name"?: never;
          "group_name"?: string | null;
          "group_paused_at"?: string | null;
          "group_paused_until"?: string | null;
          "idle_seconds"?: number;
          "jitter_seconds"?: number;
          "key_limit"?: number | null;
          "max_attempts"?: number;
          "misfire_cap"?: number;
          "misfire_grace_seconds"?: number;
          "misfire_policy"?: string;
          "name"?: string;
          "next_run_at"?: string | null;
          "on_dependency_failure"?: string;
          "on_dependency_timeout"?: string;
          "overlap_policy"?: string;
          "parallel_least"?: number | null;
          "parallel_limit"?: number | null;
          "pause_reason"?: string | null;
          "paused_at"?: string | null;
          "paused_by"?: string | null;
          "paused_until"?: string | null;
          "payload"?: NonNullable<Json>;
          "previous_run_at"?: string | null;
          "priority"?: number;
          "priority_ages_after_seconds"?: number;
          "receipt"?: string;
          "run_if"?: string | null;
          "schedule"?: string | null;
          "secret_name"?: string;
          "stopped_at"?: string | null;
          "stopped_until"?: string | null;
          "stretch_after"?: number | null;
          "stretch_at_most_seconds"?: number | null;
          "target"?: string;
          "time_zone"?: string;
          "timeout_seconds"?: number;
          "updated_at"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "scheduler_jobs_group_name_fkey";
            columns: ["group_name"];
            isOneToOne: false;
            referencedRelation: "scheduler_groups";
            referencedColumns: ["name"];
          },
        ];
      };
      "scheduler_locks": {
        Row: {
          "acquired_at": string;
          "expires_at": string;
          "holder": string;
          "name": string;
          "run_id": string;
        };
        ComputedFields: never;
        Insert: {
          "acquired_at": string;
          "expires_at": string;
          "holder": string;
          "name": string;
          "run_id": string;
        };
        Update: {
          "acquired_at"?: string;
          "expires_at"?: string;
          "holder"?: string;
          "name"?: string;
          "run_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "scheduler_locks_run_id_fkey";
            columns: ["run_id"];
            isOneToOne: true;
            referencedRelation: "scheduler_runs";
            referencedColumns: ["id"];
          },
        ];
      };
      "scheduler_operators": {
        Row: {
          "created_at": string;
          "created_by": string;
          "name": string;
          "role": string;
          "updated_at": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "created_by": string;
          "name": string;
          "role": string;
          "updated_at"?: string;
          "user_id": string;
        };
        Update: {
          "created_at"?: string;
          "created_by"?: string;
          "name"?: string;
          "role"?: string;
          "updated_at"?: string;
          "user_id"?: string;
        };
        Relationships: [];
      };
      "scheduler_runs": {
        Row: {
          "answered_at": string | null;
          "attempt": number;
          "completed_at": string | null;
          "created_at": string;
          "dispatched_at": string | null;
          "duration_ms": number | null;
          "error_detail": Json | null;
          "error_message": string | null;
          "failures": number;
          "function_name": string | null;
          "heartbeat_at": string | null;
          "id": string;
          "interval_from": string | null;
          "job_name": string;
          "key": string | null;
          "max_attempts": number;
          "occurrences": number;
          "payload": NonNullable<Json>;
          "priority": number;
          "progress": Json | null;
          "receipt": string;
          "request_id": number | null;
          "response_error": string | null;
          "response_status": number | null;
          "result": Json | null;
          "run_after": string | null;
          "scheduled_for": string;
          "scheduled_until": string | null;
          "skip_kind": string | null;
          "skip_reason": string | null;
          "stands_for": string | null;
          "started_at": string | null;
          "status": string;
          "timeout_seconds": number;
          "trigger": string;
          "turn": number;
          "verdict": string | null;
          "waiting": Json | null;
        };
        ComputedFields: never;
        Insert: {
          "answered_at"?: string | null;
          "attempt"?: number;
          "completed_at"?: string | null;
          "created_at"?: string;
          "dispatched_at"?: string | null;
          "duration_ms"?: number | null;
          "error_detail"?: Json | null;
          "error_message"?: string | null;
          "failures"?: number;
          "function_name"?: string | null;
          "heartbeat_at"?: string | null;
          "id"?: string;
          "interval_from"?: string | null;
          "job_name": string;
          "key"?: string | null;
          "max_attempts"?: number;
          "occurrences"?: number;
          "payload"?: NonNullable<Json>;
          "priority"?: number;
          "progress"?: Json | null;
          "receipt"?: string;
          "request_id"?: number | null;
          "response_error"?: string | null;
          "response_status"?: number | null;
          "result"?: Json | null;
          "run_after"?: string | null;
          "scheduled_for": string;
          "scheduled_until"?: string | null;
          "skip_kind"?: string | null;
          "skip_reason"?: string | null;
          "stands_for"?: string | null;
          "started_at"?: string | null;
          "status": string;
          "timeout_seconds"?: number;
          "trigger": string;
          "turn"?: number;
          "verdict"?: string | null;
          "waiting"?: Json | null;
        };
        Update: {
          "answered_at"?: string | null;
          "attempt"?: number;
          "completed_at"?: string | null;
          "created_at"?: string;
          "dispatched_at"?: string | null;
          "duration_ms"?: number | null;
          "error_detail"?: Json | null;
          "error_message"?: string | null;
          "failures"?: number;
          "function_name"?: string | null;
          "heartbeat_at"?: string | null;
          "id"?: string;
          "interval_from"?: string | null;
          "job_name"?: string;
          "key"?: string | null;
          "max_attempts"?: number;
          "occurrences"?: number;
          "payload"?: NonNullable<Json>;
          "priority"?: number;
          "progress"?: Json | null;
          "receipt"?: string;
          "request_id"?: number | null;
          "response_error"?: string | null;
          "response_status"?: number | null;
          "result"?: Json | null;
          "run_after"?: string | null;
          "scheduled_for"?: string;
          "scheduled_until"?: string | null;
          "skip_kind"?: string | null;
          "skip_reason"?: string | null;
          "stands_for"?: string | null;
          "started_at"?: string | null;
          "status"?: string;
          "timeout_seconds"?: number;
          "trigger"?: string;
          "turn"?: number;
          "verdict"?: string | null;
          "waiting"?: Json | null;
        };
        Relationships: [];
      };
      "scheduler_settings": {
        Row: {
          "default_value": NonNullable<Json>;
          "description": string;
          "key": string;
          "least": number;
          "most": number;
          "on_change": string | null;
          "optional": boolean;
          "pack": string;
          "type": string;
          "unit": string | null;
          "updated_at": string;
          "value": NonNullable<Json>;
        };
        ComputedFields: never;
        Insert: {
          "default_value": NonNullable<Json>;
          "description": string;
          "key": string;
          "least"?: number;
          "most"?: number;
          "on_change"?: string | null;
          "optional"?: boolean;
          "pack": string;
          "type"?: string;
          "unit"?: string | null;
          "updated_at"?: string;
          "value": NonNullable<Json>;
        };
        Update: {
          "default_value"?: NonNullable<Json>;
          "description"?: string;
          "key"?: string;
          "least"?: number;
          "most"?: number;
          "on_change"?: string | null;
          "optional"?: boolean;
          "pack"?: string;
          "type"?: string;
          "unit"?: string | null;
          "updated_at"?: string;
          "value"?: NonNullable<Json>;
        };
        Relationships: [];
      };
      "scheduler_state": {
        Row: {
          "last_daily_run_key": string;
          "scope": string;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "last_daily_run_key": string;
          "scope": string;
          "updated_at"?: string;
        };
        Update: {
          "last_daily_run_key"?: string;
          "scope"?: string;
          "updated_at"?: string;
        };
        Relationships: [];
      };
      "tasks": {
        Row: {
          "agent_id": string | null;
          "attempts": number;
          "category": string;
          "completed_at": string | null;
          "created_at": string;
          "description": string;
          "due_at": string | null;
          "error_message": string | null;
          "id": string;
          "priority": number;
          "result": Json | null;
          "started_at": string | null;
          "status": string;
          "title": string;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "agent_id"?: string | null;
          "attempts"?: number;
          "category"?: string;
          "completed_at"?: string | null;
          "created_at"?: string;
          "description"?: string;
          "due_at"?: string | null;
          "error_message"?: string | null;
          "id"?: string;
          "priority"?: number;
          "result"?: Json | null;
          "started_at"?: string | null;
          "status"?: string;
          "title": string;
          "updated_at"?: string;
        };
        Update: {
          "agent_id"?: string | null;
          "attempts"?: number;
          "category"?: string;
          "completed_at"?: string | null;
          "created_at"?: string;
          "description"?: string;
          "due_at"?: string | null;
          "error_message"?: string | null;
          "id"?: string;
          "priority"?: number;
          "result"?: Json | null;
          "started_at"?: string | null;
          "status"?: string;
          "title"?: string;
          "updated_at"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "tasks_agent_id_fkey";
            columns: ["agent_id"];
            isOneToOne: false;
            referencedRelation: "agents";
            referencedColumns: ["id"];
          },
        ];
      };
    };
    Views: {
      "app_settings": {
        Row: {
          "description": string;
          "key": string;
          "updated_at": string;
          "value": NonNullable<Json>;
        };
        ComputedFields: never;
        Insert: {
          "description"?: string | null;
          "key"?: string | null;
          "updated_at"?: string | null;
          "value"?: Json | null;
        };
        Update: {
          "description"?: string | null;
          "key"?: string | null;
          "updated_at"?: string | null;
          "value"?: Json | null;
        };
        Relationships: [];
      };
      "eliza_activity_log": {
        Row: {
          "details": NonNullable<Json>;
          "id": number;
          "message": string;
          "occurred_at": string;
          "run_id": string | null;
          "severity": string;
          "source": string;
        };
        ComputedFields: never;
        Insert: {
          "details"?: Json | null;
          "id"?: number | null;
          "message"?: string | null;
          "occurred_at"?: string | null;
          "run_id"?: string | null;
          "severity"?: string | null;
          "source"?: string | null;
        };
        Update: {
          "details"?: Json | null;
          "id"?: number | null;
          "message"?: string | null;
          "occurred_at"?: string | null;
          "run_id"?: string | null;
          "severity"?: string | null;
          "source"?: string | null;
        };
        Relationships: [];
      };
    };
    Functions: {
      "accept_code_fix": {
        Args: { "p_author": string; "p_proposal_id": number; "p_reason": string };
        Returns: Json;
      };
      "accept_prompt_suggestion": { Args: { "p_author": string; "p_id": string }; Returns: Json };
      "aggregate_device_metrics_begin": { Args: Record<PropertyKey, never>; Returns: Json };
      "aggregate_device_metrics_days": {
        Args: { "p_from"?: string; "p_max_days"?: number; "p_to"?: string };
        Returns: Json;
      };
      "aggregate_device_metrics_hours": {
        Args: { "p_from"?: string; "p_max_hours"?: number; "p_to"?: string };
        Returns: Json;
      };
      "aggregate_device_metrics_recompute": {
        Args: { "p_from": string; "p_to": string };
        Returns: Json;
      };
      "begin_code_fix": {
        Args: {
          "p_cause_id": number;
          "p_execution_id": string;
          "p_model": string;
          "p_request_id": string;
          "p_reserved_cost_usd": number;
          "p_reserved_tokens": number;
        };
        Returns: Json;
      };
      "begin_suggestion_try": {
        Args: { "p_organization_id": string; "p_week": string };
        Returns: string;
      };
      "cancel_scheduled_action": {
        Args: { "p_author": string; "p_id": string; "p_reason": string };
        Returns: Json;
      };
      "claim_batch_tasks": {
        Args: {
          "p_busy"?: Json;
          "p_job_id": string;
          "p_lease_seconds"?: number;
          "p_limit"?: number;
          "p_token": string;
        };
        Returns: Json;
      };
      "claim_code_fix": { Args: { "p_not_since": string }; Returns: Json };
      "code_monitor_state": { Args: Record<PropertyKey, never>; Returns: Json };
      "collect_code_failures": { Args: { "p_max_rows"?: number }; Returns: Json };
      "continue_batch_job": {
        Args: { "p_job_id": string; "p_wait_ms"?: number };
        Returns: boolean;
      };
      "continue_weekly_suggestions": { Args: Record<PropertyKey, never>; Returns: boolean };
      "device_commands": { Args: { "p_limit"?: number; "p_session_id": string }; Returns: Json };
      "device_heartbeat": { Args: { "p_session_id": string }; Returns: boolean };
      "device_report_command": {
        Args: {
          "p_command_id": string;
          "p_error_message"?: string;
          "p_result"?: Json;
          "p_session_id": string;
          "p_status": string;
        };
        Returns: string;
      };
      "ecosystem_claim_comment": {
        Args: { "p_day": string; "p_issue": string; "p_only_look"?: boolean; "p_run_id": string };
        Returns: Json;
      };
      "ecosystem_doubt_comment": {
        Args: { "p_day": string; "p_problem": string; "p_run_id": string };
        Returns: Json;
      };
      "ecosystem_figures": { Args: { "p_day": string }; Returns: Json };
      "ecosystem_record_activity": {
        Args: {
          "p_day": string;
          "p_reading": Json;
          "p_repository_id": number;
          "p_responses"?: Json;
        };
        Returns: undefined;
      };
      "ecosystem_record_comment": {
        Args: { "p_comment_id": number; "p_comment_url": string; "p_day": string };
        Returns: undefined;
      };
      "ecosystem_record_report": {
        Args: { "p_day": string; "p_report": Json };
        Returns: undefined;
      };
      "ecosystem_release_comment": {
        Args: { "p_day": string; "p_run_id": string };
        Returns: undefined;
      };
      "ecosystem_repositories_to_read": { Args: { "p_limit"?: number }; Returns: Json };
      "ecosystem_responses_of": { Args: { "p_repository_id": number }; Returns: Json };
      "ecosystem_take_over_comment": {
        Args: { "p_day": string; "p_from_run_id": string; "p_issue": string; "p_run_id": string };
        Returns: boolean;
      };
      "execute_scheduled_actions_claim": {
        Args: {
          "p_except_receivers"?: (string)[];
          "p_kinds": (string)[];
          "p_lease_seconds": number;
          "p_limit": number;
          "p_per_receiver": number;
        };
        Returns: Json;
      };
      "execute_scheduled_actions_due": { Args: Record<PropertyKey, never>; Returns: Json };
      "execute_scheduled_actions_in_database": { Args: { "p_limit"?: number }; Returns: Json };
      "execute_scheduled_actions_report": { Args: { "p_results": Json }; Returns: Json };
      "find_stuck_batch_jobs": { Args: { "p_after"?: string; "p_limit"?: number }; Returns: Json };
      "finish_batch_tasks": {
        Args: { "p_job_id": string; "p_results": Json; "p_token": string };
        Returns: Json;
      };
      "heartbeat_batch_job": {
        Args: { "p_job_id": string; "p_lease_seconds"?: number; "p_token": string };
        Returns: Json;
      };
      "monitor_device_connections_expire": { Args: { "p_max_commands"?: number }; Returns: Json };
      "monitor_device_connections_hand_over": {
        Args: { "p_after"?: string; "p_max_commands"?: number; "p_until"?: string };
        Returns: Json;
      };
      "monitor_device_connections_sweep": {
        Args: { "p_after"?: string; "p_max_devices"?: number; "p_until"?: string };
        Returns: Json;
      };
      "next_suggestion_requests": {
        Args: { "p_after"?: string; "p_limit"?: number };
        Returns: Json;
      };
      "prometheus_metrics": { Args: Record<PropertyKey, never>; Returns: Json };
      "read_code_failure": { Args: { "p_cause_id": number }; Returns: Json };
      "record_api_key_checks": { Args: { "p_checks": Json; "p_run_id": string }; Returns: Json };
      "record_code_fix": {
        Args: {
          "p_completion_tokens": number;
          "p_confidence": number;
          "p_cost_usd": number;
          "p_counts"?: boolean;
          "p_diff": string;
          "p_error": string;
          "p_prompt_tokens": number;
          "p_proposal_id": number;
          "p_reasoning": string;
          "p_usage_unknown": boolean;
        };
        Returns: Json;
      };
      "record_suggestion_failure": {
        Args: { "p_organization_id": string; "p_reason": string; "p_week": string };
        Returns: boolean;
      };
      "reject_code_fix": {
        Args: { "p_author": string; "p_proposal_id": number; "p_reason": string };
        Returns: Json;
      };
      "reject_prompt_suggestion": { Args: { "p_author": string; "p_id": string }; Returns: Json };
      "release_batch_tasks": {
        Args: { "p_ids"?: (number)[]; "p_job_id": string; "p_token": string };
        Returns: number;
      };
      "release_code_fix": {
        Args: { "p_cause_id": number; "p_counts": boolean; "p_request_id": string };
        Returns: boolean;
      };
      "release_suggestion_try": {
        Args: { "p_organization_id": string; "p_week": string };
        Returns: undefined;
      };
      "resume_stuck_batch_job": { Args: { "p_job_id": string }; Returns: Json };
      "retry_scheduled_action": { Args: { "p_author": string; "p_id": string }; Returns: Json };
      "schedule_action": {
        Args: {
          "p_backoff_base_seconds"?: number;
          "p_backoff_cap_seconds"?: number;
          "p_command_expires_seconds"?: number;
          "p_command_type"?: string;
          "p_created_by"?: string;
          "p_device_id"?: string;
          "p_due_at"?: string;
          "p_function_name"?: string;
          "p_id"?: string;
          "p_kind": string;
          "p_max_attempts"?: number;
          "p_message"?: string;
          "p_name"?: string;
          "p_payload"?: Json;
          "p_schedule"?: string;
          "p_time_zone"?: string;
          "p_url"?: string;
        };
        Returns: Json;
      };
      "scheduler_api_act": {
        Args: {
          "p_author": string;
          "p_input"?: Json;
          "p_reason": string;
          "p_subject": string;
          "p_verb": string;
        };
        Returns: Json;
      };
      "scheduler_api_as_user": {
        Args: { "p_acts": boolean; "p_args"?: Json; "p_door": string; "p_user_id": string };
        Returns: Json;
      };
      "scheduler_api_audit_log": { Args: { "p_cursor"?: string }; Returns: Json };
      "scheduler_api_channels": { Args: { "p_cursor"?: string }; Returns: Json };
      "scheduler_api_explain": { Args: { "p_at"?: string; "p_job": string }; Returns: Json };
      "scheduler_api_failures": {
        Args: { "p_cursor"?: string; "p_since"?: string };
        Returns: Json;
      };
      "scheduler_api_health": { Args: Record<PropertyKey, never>; Returns: Json };
      "scheduler_api_health_of": { Args: { "p_job": string }; Returns: Json };
      "scheduler_api_history": {
        Args: {
          "p_cursor"?: string;
          "p_from"?: string;
          "p_job"?: string;
          "p_status"?: string;
          "p_to"?: string;
        };
        Returns: Json;
      };
      "scheduler_api_logs": {
        Args: { "p_cursor"?: string; "p_from"?: string; "p_to"?: string };
        Returns: Json;
      };
      "scheduler_api_metrics": { Args: { "p_cursor"?: string; "p_job"?: string }; Returns: Json };
      "scheduler_api_next": { Args: { "p_cursor"?: string; "p_job"?: string }; Returns: Json };
      "scheduler_api_operator": { Args: { "p_user_id": string }; Returns: Json };
      "scheduler_api_run": { Args: { "p_run_id": string }; Returns: Json };
      "scheduler_api_status": { Args: { "p_cursor"?: string }; Returns: Json };
      "scheduler_api_tick": { Args: Record<PropertyKey, never>; Returns: Json };
      "scheduler_api_timeline": {
        Args: { "p_cursor"?: string; "p_from"?: string; "p_to"?: string };
        Returns: Json;
      };
      "scheduler_api_verify": { Args: Record<PropertyKey, never>; Returns: Json };
      "scheduler_begin_due_run": {
        Args: { "p_function_name": string; "p_holder"?: string; "p_job_name"?: string };
        Returns: Json;
      };
      "scheduler_begin_manual_run": {
        Args: {
          "p_function_name": string;
          "p_holder"?: string;
          "p_job_name"?: string;
          "p_payload"?: Json;
        };
        Returns: Json;
      };
      "scheduler_begin_pruning": { Args: Record<PropertyKey, never>; Returns: Json };
      "scheduler_begin_run": {
        Args: { "p_function_name": string; "p_holder"?: string; "p_run_id": string };
        Returns: Json;
      };
      "scheduler_finish_run": {
        Args: {
          "p_error_detail"?: Json;
          "p_error_message"?: string;
          "p_outcome": string;
          "p_result"?: Json;
          "p_resume_at"?: string;
          "p_retryable"?: boolean;
          "p_run_id": string;
        };
        Returns: Json;
      };
      "scheduler_health_components": { Args: Record<PropertyKey, never>; Returns: Json };
      "scheduler_heartbeat_run": {
        Args: { "p_progress"?: Json; "p_run_id": string };
        Returns: Json;
      };
      "scheduler_log_activity": {
        Args: {
          "p_details"?: Json;
          "p_message": string;
          "p_severity"?: string;
          "p_source": string;
        };
        Returns: number;
      };
      "scheduler_prune_old_rows": {
        Args: { "p_limit"?: number; "p_rule": string };
        Returns: number;
      };
      "scheduler_read_health": { Args: { "p_component": string }; Returns: Json };
      "scheduler_record_health": {
        Args: {
          "p_components": Json;
          "p_job_name": string;
          "p_report": string;
          "p_scheduled_for": string;
          "p_score": number;
          "p_status": string;
          "p_summary": string;
        };
        Returns: number;
      };
      "scheduler_report_budget": {
        Args: { "p_budget": string; "p_left": number; "p_resets_at"?: string };
        Returns: number;
      };
      "scheduler_reserve_tokens": {
        Args: { "p_budget": string; "p_by": string; "p_run_id": string; "p_tokens": number };
        Returns: undefined;
      };
      "scheduler_take_tokens": {
        Args: { "p_budget": string; "p_run_id": string; "p_tokens": number };
        Returns: Json;
      };
      "set_code_failure_status": {
        Args: { "p_author": string; "p_cause_id": number; "p_reason": string; "p_status": string };
        Returns: Json;
      };
      "set_organization_schedule": {
        Args: {
          "p_author"?: string;
          "p_organization_id": string;
          "p_reason": string;
          "p_run_at": string;
          "p_time_zone": string;
        };
        Returns: string;
      };
      "store_prompt_suggestions": {
        Args: {
          "p_organization_id": string;
          "p_suggested_by": string;
          "p_texts": Json;
          "p_week": string;
        };
        Returns: Json;
      };
      "trigger_daily_batch": {
        Args: {
          "p_force"?: boolean;
          "p_manual_test"?: boolean;
          "p_run_id"?: string;
          "p_zones"?: boolean;
        };
        Returns: Json;
      };
      "try_mark_daily_run": { Args: { "p_scope"?: string; "p_today_key": string }; Returns: Json };
    };
    Enums: {
      [_ in never]: never;
    };
    CompositeTypes: {
      [_ in never]: never;
    };
  };
};

type DatabaseWithoutInternals = Omit<Database, "__InternalSupabase">;

type DefaultSchema = DatabaseWithoutInternals[Extract<keyof Database, "public">];

export type Tables<
  DefaultSchemaTableNameOrOptions extends
    | keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof (
      & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
      & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"]
    )
    : never = never,
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals } ? (
    & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"]
  )[TableName] extends {
    Row: infer R;
  } ? R
  : never
  : DefaultSchemaTableNameOrOptions extends keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
    ? (DefaultSchema["Tables"] & DefaultSchema["Views"])[DefaultSchemaTableNameOrOptions] extends {
      Row: infer R;
    } ? R
    : never
  : never;

export type TablesInsert<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never = never,
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends
    {
      Insert: infer I;
    } ? I
  : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
    ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
      Insert: infer I;
    } ? I
    : never
  : never;

export type TablesUpdate<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never = never,
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends
    {
      Update: infer U;
    } ? U
  : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
    ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
      Update: infer U;
    } ? U
    : never
  : never;

export type Enums<
  DefaultSchemaEnumNameOrOptions extends
    | keyof DefaultSchema["Enums"]
    | { schema: keyof DatabaseWithoutInternals },
  EnumName extends DefaultSchemaEnumNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"]
    : never = never,
> = DefaultSchemaEnumNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"][EnumName]
  : DefaultSchemaEnumNameOrOptions extends keyof DefaultSchema["Enums"]
    ? DefaultSchema["Enums"][DefaultSchemaEnumNameOrOptions]
  : never;

export type CompositeTypes<
  PublicCompositeTypeNameOrOptions extends
    | keyof DefaultSchema["CompositeTypes"]
    | { schema: keyof DatabaseWithoutInternals },
  CompositeTypeName extends PublicCompositeTypeNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"]
    : never = never,
> = PublicCompositeTypeNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"][
    CompositeTypeName
  ]
  : PublicCompositeTypeNameOrOptions extends keyof DefaultSchema["CompositeTypes"]
    ? DefaultSchema["CompositeTypes"][PublicCompositeTypeNameOrOptions]
  : never;

export const Constants = {
  "public": {
    Enums: {},
  },
} as const;
