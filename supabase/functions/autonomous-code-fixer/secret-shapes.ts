/** The shapes of keys and tokens that are recognizable by themselves. named-secrets.ts finds the others. */
export interface SecretShape {
  /** The issuer and the kind of the secret. */
  whose: string;
  /**
   * The pattern from the secret's first character on; `createMask` checks the text before it. A repetition without a
   * limit may stand only at the end: texts are long and untrusted, and a search must not read far from every place.
   */
  shape: RegExp;
  /** Where the issuer documents or shows the shape. */
  source: string;
}

const rows: readonly [whose: string, shape: RegExp, source: string][] = [
  // Code and packages
  [
    "GitHub: tokens",
    /gh[pousr]_[A-Za-z0-9_.-]{20,}/,
    "docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github",
  ],
  [
    "GitHub: fine-grained tokens",
    /github_pat_[A-Za-z0-9_]{20,}/,
    "docs.github.com/en/authentication/keeping-your-account-and-data-secure/managing-your-personal-access-tokens",
  ],
  [
    "GitLab: tokens",
    /gl(?:pat|ptt|rt|rtr|cbt|dt|ft|ffct|imt|oas|soat|agent|wt)-[A-Za-z0-9_.-]{20,}/,
    "docs.gitlab.com/security/tokens",
  ],
  [
    "GitLab: runner registration",
    /GR1348941[A-Za-z0-9_-]{20,}/,
    "docs.gitlab.com/security/tokens",
  ],
  [
    "Bitbucket: access tokens, app passwords",
    /AT(?:CTT3|BB)[A-Za-z0-9_=-]{20,}/,
    "support.atlassian.com/bitbucket-cloud/docs/access-tokens",
  ],
  [
    "Atlassian: API tokens",
    /ATATT3[A-Za-z0-9_=-]{40,}/,
    "support.atlassian.com/atlassian-account/docs/manage-api-tokens-for-your-atlassian-account",
  ],
  [
    "npm: access tokens",
    /npm_[A-Za-z0-9]{20,}/,
    "github.blog/changelog/2021-09-23-npm-has-a-new-access-token-format",
  ],
  ["PyPI: API tokens", /pypi-[A-Za-z0-9_-]{32,}/, "pypi.org/help"],
  [
    "RubyGems: API keys",
    /rubygems_[a-f0-9]{32,}/,
    "guides.rubygems.org/api-key-scopes",
  ],
  [
    "crates.io: API tokens",
    /cio[A-Za-z0-9]{32}(?![A-Za-z0-9])/,
    "crates.io/settings/tokens",
  ],
  [
    "NuGet: API keys",
    /oy2[a-z0-9]{43}(?![A-Za-z0-9])/,
    "learn.microsoft.com/en-us/nuget/nuget-org/scoped-api-keys",
  ],
  [
    "Clojars: deploy tokens",
    /CLOJARS_[a-z0-9]{60}/,
    "github.com/clojars/clojars-web/wiki/Deploy-Tokens",
  ],
  [
    "Docker: access tokens",
    /dckr_[po]at_[A-Za-z0-9_-]{20,}/,
    "docs.docker.com/security/access-tokens",
  ],
  [
    "Artifactory: API keys, reference tokens",
    /(?:AKCp|cmVmdGtu)[A-Za-z0-9]{56,}/,
    "jfrog.com/help/r/jfrog-platform-administration-documentation/access-tokens",
  ],
  [
    "CircleCI: personal and project tokens",
    /CCI(?:PAT|PRJ)_[A-Za-z0-9]{16,}_[a-f0-9]{40}/,
    "circleci.com/docs/managing-api-tokens",
  ],
  [
    "Buildkite: API tokens",
    /bkua_[a-f0-9]{40}/,
    "buildkite.com/docs/apis/managing-api-tokens",
  ],
  [
    "SonarQube: tokens",
    /sq[upa]_[a-f0-9]{40}/,
    "docs.sonarsource.com/sonarqube-server/latest/user-guide/managing-tokens",
  ],
  [
    "Sourcegraph: access tokens",
    /sgp_(?:[A-Za-z0-9]+_)?[a-f0-9]{40}/,
    "sourcegraph.com/docs/cli/how-tos/creating_an_access_token",
  ],
  [
    "Postman: API keys",
    /PMAK-[a-f0-9]{24}-[a-f0-9]{34}/,
    "learning.postman.com/docs/developer/postman-api/authentication",
  ],
  [
    "Octopus Deploy: API keys",
    /API-[A-Z0-9]{25,}/,
    "octopus.com/docs/octopus-rest-api/how-to-create-an-api-key",
  ],
  [
    "Pulumi: access tokens",
    /pul-[a-f0-9]{32,}/,
    "pulumi.com/docs/administration/access-identity/access-tokens",
  ],
  [
    "Terraform: API tokens",
    /[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,}/,
    "developer.hashicorp.com/terraform/cloud-docs/users-teams-organizations/api-tokens",
  ],
  [
    "HashiCorp Vault: tokens",
    /hv[sbr]\.[A-Za-z0-9_-]{20,}/,
    "developer.hashicorp.com/vault/docs/concepts/tokens",
  ],
  [
    "HashiCorp Vault: tokens before 1.10",
    /s\.(?=[A-Za-z]{0,23}[0-9])[A-Za-z0-9]{24}(?![A-Za-z0-9.])/,
    "developer.hashicorp.com/vault/docs/concepts/tokens",
  ],
  [
    "Doppler: tokens",
    /dp\.(?:pt|ct|st|sa|scim|audit)\.(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{20,}/,
    "docs.doppler.com/reference/auth-token-formats",
  ],
  [
    "1Password: service accounts",
    /ops_eyJ[A-Za-z0-9+/=_-]{40,}/,
    "developer.1password.com/docs/service-accounts",
  ],
  [
    "1Password: secret keys",
    /A3-[A-Z0-9]{6}-[A-Z0-9]{5,11}-(?:[A-Z0-9]{5}-){2,3}[A-Z0-9]{5}/,
    "support.1password.com/secret-key",
  ],
  [
    "age: secret keys",
    /AGE-SECRET-KEY-1[A-Z0-9]{50,}/,
    "age-encryption.org/v1",
  ],
  [
    "Tailscale: keys",
    /tskey-[a-z]+-[A-Za-z0-9-]{16,}/,
    "tailscale.com/kb/1085/auth-keys",
  ],
  [
    "OpenShift: tokens",
    /sha256~[A-Za-z0-9_-]{40,}/,
    "docs.openshift.com/container-platform/latest/authentication/managing-oauth-access-tokens.html",
  ],
  [
    "Prefect: API keys",
    /pn[ub]_[A-Za-z0-9]{36}/,
    "docs.prefect.io/v3/how-to-guides/cloud/manage-users/api-keys",
  ],
  [
    "Harness: API keys",
    /[ps]at\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{20}/,
    "developer.harness.io/docs/platform/automation/api/add-and-manage-api-keys",
  ],

  // Clouds, hosts, databases
  [
    "AWS: access key ids",
    /(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])/,
    "docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html",
  ],
  [
    "AWS: Bedrock API keys",
    /(?:ABSK|bedrock-api-key-)[A-Za-z0-9+/]{60,}={0,2}/,
    "docs.aws.amazon.com/bedrock/latest/userguide/api-keys.html",
  ],
  [
    "Google: API keys",
    /AIza[A-Za-z0-9_-]{30,}/,
    "cloud.google.com/docs/authentication/api-keys",
  ],
  [
    "Google: access tokens",
    /ya29\.[A-Za-z0-9_.-]{16,}/,
    "cloud.google.com/docs/authentication/token-types",
  ],
  [
    "Google: refresh tokens",
    /1\/\/0[A-Za-z0-9_-]{30,}/,
    "developers.google.com/identity/protocols/oauth2/web-server",
  ],
  [
    "Google: client secrets",
    /GOCSPX-[A-Za-z0-9_-]{20,}/,
    "developers.google.com/identity/protocols/oauth2/web-server",
  ],
  [
    "Azure: client secrets",
    /[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}(?![A-Za-z0-9_~.-])/,
    "learn.microsoft.com/en-us/purview/sit-defn-azure-ad-client-secret",
  ],
  [
    "Azure: account keys of 512 bits",
    /(?<![+/])[A-Za-z0-9+/]{86}==/,
    "learn.microsoft.com/en-us/azure/storage/common/storage-account-keys-manage",
  ],
  [
    "Azure DevOps: personal access tokens",
    /[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}(?![A-Za-z0-9])/,
    "learn.microsoft.com/en-us/azure/devops/organizations/accounts/use-personal-access-tokens-to-authenticate",
  ],
  [
    "Microsoft Teams: webhooks",
    /(?<=https:\/\/[a-z0-9-]{1,60}\.webhook\.office\.com\/)webhookb2\/[A-Za-z0-9@/-]{60,}/,
    "learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook",
  ],
  [
    "DigitalOcean: tokens",
    /do[opr]_v1_[A-Za-z0-9]{20,}/,
    "docs.digitalocean.com/reference/api/create-personal-access-token",
  ],
  [
    "Heroku: API keys",
    /HRKU-[A-Za-z0-9_-]{20,}/,
    "devcenter.heroku.com/articles/authentication",
  ],
  [
    "Alibaba Cloud: access key ids",
    /LTAI(?=[A-Za-z]{0,25}[0-9])[A-Za-z0-9]{12,26}(?![A-Za-z0-9])/,
    "alibabacloud.com/help/en/ram/user-guide/create-an-accesskey-pair",
  ],
  [
    "Yandex Cloud: API keys, IAM tokens",
    /(?:AQVN[A-Za-z0-9_-]{35,}|t1\.[A-Za-z0-9_=-]{10,300}\.[A-Za-z0-9_=-]{86,})/,
    "yandex.cloud/en/docs/iam/concepts/authorization/api-key",
  ],
  [
    "Fly.io: tokens",
    /(?:fo1_|fm[12][ar]?_)[A-Za-z0-9+/=_-]{40,}/,
    "fly.io/docs/security/tokens",
  ],
  ["Render: API keys", /rnd_[A-Za-z0-9]{20,}/, "render.com/docs/api"],
  [
    "Vercel: tokens",
    /vc[piark]_[A-Za-z0-9]{20,}/,
    "vercel.com/changelog/new-token-formats-and-secret-scanning",
  ],
  [
    "Netlify: access tokens",
    /nf[a-z]_[A-Za-z0-9]{20,}/,
    "docs.netlify.com/api-and-cli-guides/api-guides/get-started-with-api",
  ],
  [
    "Cloudflare: keys and tokens",
    /cf(?:k|ut|at)_[A-Za-z0-9]{20,}/,
    "developers.cloudflare.com/fundamentals/api/get-started/token-formats",
  ],
  [
    "Cloudflare: origin CA keys",
    /v1\.0-[a-f0-9]{24}-[a-f0-9]{100,}/,
    "developers.cloudflare.com/fundamentals/api/get-started/ca-keys",
  ],
  [
    "Supabase: access tokens",
    /sbp_[A-Za-z0-9_]{20,}/,
    "supabase.com/docs/guides/platform/personal-access-tokens",
  ],
  [
    "Supabase: secret keys",
    /sb_secret_[A-Za-z0-9_-]{16,}/,
    "supabase.com/docs/guides/api/api-keys",
  ],
  ["Neon: API keys", /napi_[A-Za-z0-9]{20,}/, "neon.com/docs/manage/api-keys"],
  [
    "PlanetScale: tokens and passwords",
    /pscale_(?:tkn|oauth|pw|app_secret)_[A-Za-z0-9_=.-]{20,}/,
    "planetscale.com/docs/api/reference/service-tokens",
  ],
  [
    "MongoDB Atlas: service account secrets",
    /mdb_sa_sk_[A-Za-z0-9_-]{20,}/,
    "mongodb.com/docs/atlas/api/service-accounts-overview",
  ],
  [
    "Aiven: service passwords",
    /AVNS_[A-Za-z0-9_-]{15,}/,
    "aiven.io/docs/platform/howto/reset-password",
  ],
  [
    "Databricks: tokens",
    /(?:dapi|dose|dkea|dsapi)[a-f0-9]{32}(?:-[0-9]+)?(?![A-Za-z0-9])/,
    "docs.databricks.com/aws/en/dev-tools/auth/pat",
  ],
  [
    "Grafana: legacy API keys",
    /eyJrIjoi[A-Za-z0-9]{40,}={0,2}/,
    "grafana.com/docs/grafana/latest/administration/service-accounts/migrate-api-keys",
  ],

  // Models
  [
    "Anthropic: API keys",
    /sk-ant-[A-Za-z0-9_-]{16,}/,
    "docs.claude.com/en/api/overview",
  ],
  [
    "OpenRouter: API keys",
    /sk-or-v1-[A-Za-z0-9]{16,}/,
    "openrouter.ai/docs/api-reference/authentication",
  ],
  [
    "OpenAI, DeepSeek and others: API keys",
    /sk-(?=[A-Za-z_-]{0,100}[0-9])[A-Za-z0-9_-]{16,}/,
    "platform.openai.com/docs/api-reference/authentication",
  ],
  [
    "Groq: API keys",
    /gsk_[A-Za-z0-9]{20,}/,
    "console.groq.com/docs/quickstart",
  ],
  [
    "Hugging Face: tokens",
    /(?:hf|api_org)_[A-Za-z0-9]{20,}/,
    "huggingface.co/docs/hub/security-tokens",
  ],
  ["xAI: API keys", /xai-[A-Za-z0-9]{20,}/, "docs.x.ai/docs/tutorial"],
  [
    "Perplexity: API keys",
    /pplx-[A-Za-z0-9]{20,}/,
    "docs.perplexity.ai/getting-started/quickstart",
  ],
  [
    "Replicate: tokens",
    /r8_[A-Za-z0-9]{20,}/,
    "replicate.com/docs/topics/security/api-tokens",
  ],
  [
    "NVIDIA: API keys",
    /nvapi-[A-Za-z0-9_-]{20,}/,
    "docs.api.nvidia.com/nim/reference/llm-apis",
  ],
  [
    "Cerebras: API keys",
    /csk-[a-z0-9]{20,}/,
    "inference-docs.cerebras.ai/quickstart",
  ],
  [
    "Pinecone: API keys",
    /pcsk_[A-Za-z0-9_]{20,}/,
    "docs.pinecone.io/guides/projects/manage-api-keys",
  ],
  [
    "Tavily: API keys",
    /tvly-[A-Za-z0-9-]{20,}/,
    "docs.tavily.com/documentation/api-reference/introduction",
  ],
  [
    "LangSmith: keys",
    /lsv2_[a-z]{2}_[a-f0-9]{20,}(?:_[a-f0-9]{4,})?/,
    "docs.langchain.com/langsmith/create-account-api-key",
  ],
  [
    "ElevenLabs: API keys",
    /sk_[a-f0-9]{40,}/,
    "elevenlabs.io/docs/api-reference/authentication",
  ],

  // Messages and mail
  [
    "Slack: tokens",
    /xox[abcdeoprs]-[A-Za-z0-9%+/=-]{10,}/,
    "docs.slack.dev/authentication/tokens",
  ],
  [
    "Slack: configuration tokens",
    /xoxe\.xox[bp]-[A-Za-z0-9-]{20,}/,
    "docs.slack.dev/authentication/tokens",
  ],
  [
    "Slack: app-level tokens",
    /xapp-[A-Za-z0-9-]{16,}/,
    "docs.slack.dev/authentication/tokens",
  ],
  [
    "Slack: webhooks",
    /(?<=hooks\.slack(?:-gov)?\.com\/(?:services|workflows|triggers)\/)[A-Za-z0-9/_-]{20,}/,
    "docs.slack.dev/messaging/sending-messages-using-incoming-webhooks",
  ],
  [
    "Discord: bot tokens",
    /[MNO][A-Za-z0-9_-]{22,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,}/,
    "docs.discord.com/developers/reference",
  ],
  [
    "Discord: webhooks",
    /(?<=discord(?:app)?\.com\/api\/(?:v[0-9]+\/)?webhooks\/)[0-9]{16,20}\/[A-Za-z0-9_-]{40,}/,
    "docs.discord.com/developers/resources/webhook",
  ],
  [
    "Telegram: bot tokens",
    /[0-9]{6,12}:[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])/,
    "core.telegram.org/bots/api",
  ],
  [
    "Twilio: API key SIDs",
    /SK[a-f0-9]{32}(?![A-Za-z0-9])/,
    "twilio.com/docs/iam/api-keys",
  ],
  [
    "SendGrid: API keys",
    /SG\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{16,}/,
    "twilio.com/docs/sendgrid/ui/account-and-settings/api-keys",
  ],
  [
    "Mailgun: private keys",
    /key-[a-f0-9]{32}(?![A-Za-z0-9])/,
    "documentation.mailgun.com/docs/mailgun/user-manual/api-key-mgmt/rbac-mgmt",
  ],
  [
    "Mailgun: API keys",
    /[a-f0-9]{32}-[a-f0-9]{8}-[a-f0-9]{8}(?![A-Za-z0-9-])/,
    "documentation.mailgun.com/docs/mailgun/user-manual/api-key-mgmt/rbac-mgmt",
  ],
  [
    "Mailchimp: API keys",
    /[a-f0-9]{32}-us[0-9]{1,2}(?![A-Za-z0-9])/,
    "mailchimp.com/developer/marketing/guides/quick-start",
  ],
  [
    "Mandrill: API keys",
    /md-(?=[A-Za-z_-]{0,21}[0-9])[A-Za-z0-9_-]{22}(?![A-Za-z0-9_-])/,
    "mailchimp.com/developer/transactional/guides/quick-start",
  ],
  [
    "Brevo: API and SMTP keys",
    /x(?:key|smtp)sib-[A-Za-z0-9]{20,}(?:-[A-Za-z0-9]{8,})?/,
    "developers.brevo.com/docs/getting-started",
  ],
  [
    "Resend: API keys",
    /re_[A-Za-z0-9]{8,10}_[A-Za-z0-9]{20,}/,
    "resend.com/docs/dashboard/api-keys/introduction",
  ],

  // Money and shops
  [
    "Stripe, Paystack, Clerk: keys",
    /[rsp]k_(?:live|test|prod)_[A-Za-z0-9]{16,}/,
    "docs.stripe.com/keys",
  ],
  [
    "Stripe, Svix: webhook secrets",
    /whsec_[A-Za-z0-9+/=]{16,}/,
    "docs.stripe.com/webhooks",
  ],
  [
    "Square: tokens and secrets",
    /(?:sq0[a-z]{3}-[A-Za-z0-9_-]{22,}|EAAA[A-Za-z0-9_-]{56,})/,
    "developer.squareup.com/docs/build-basics/access-tokens",
  ],
  [
    "PayPal, Braintree: access tokens",
    /access_token\$(?:production|sandbox)\$[a-z0-9]{16}\$[a-f0-9]{32}/,
    "developer.paypal.com/braintree/docs/guides/authorization/overview",
  ],
  [
    "Adyen: API keys",
    /AQE[a-z][A-Za-z0-9+/=]{60,}[A-Za-z0-9+/=-]*/,
    "docs.adyen.com/development-resources/api-credentials",
  ],
  [
    "Razorpay: keys",
    /rzp_(?:live|test)_[A-Za-z0-9]{14,}/,
    "razorpay.com/docs/payments/dashboard/account-settings/api-keys",
  ],
  [
    "Mollie: API keys",
    /(?:live|test)_(?=[A-Za-z]{0,29}[0-9])[A-Za-z0-9]{30,}/,
    "docs.mollie.com/reference/authentication",
  ],
  [
    "Flutterwave: secret keys",
    /FLWSECK(?:_TEST)?-[A-Za-z0-9]{12,}(?:-X)?/,
    "developer.flutterwave.com/docs/authentication",
  ],
  [
    "Plaid: access tokens",
    /access-(?:sandbox|development|production)-[a-f0-9]{8}(?:-[a-f0-9]{4}){3}-[a-f0-9]{12}/,
    "plaid.com/docs/api/items",
  ],
  [
    "Shopify: tokens and secrets",
    /shp(?:at|ca|pa|ss|tka|ua|it|rt)_[A-Za-z0-9]{20,}/,
    "shopify.dev/docs/apps/build/authentication-authorization/access-tokens",
  ],
  [
    "EasyPost: API keys",
    /EZ[AT]K[A-Za-z0-9]{54,}/,
    "docs.easypost.com/docs/authentication",
  ],
  [
    "Shippo: tokens",
    /shippo_(?:live|test)_[a-f0-9]{40}/,
    "docs.goshippo.com/docs/guides_general/authentication",
  ],
  [
    "Duffel: access tokens",
    /duffel_(?:live|test)_[A-Za-z0-9_=-]{40,}/,
    "duffel.com/docs/api/overview/making-requests/authentication",
  ],

  // Work, social networks, observation
  [
    "Notion: tokens",
    /ntn_[A-Za-z0-9]{20,}/,
    "developers.notion.com/page/changelog",
  ],
  [
    "Notion: older tokens",
    /secret_[A-Za-z0-9]{40,}/,
    "developers.notion.com/reference/authentication",
  ],
  [
    "Linear: keys and tokens",
    /lin_(?:api|oauth|wh)_[A-Za-z0-9]{20,}/,
    "linear.app/developers/graphql",
  ],
  [
    "Airtable: tokens",
    /pat[A-Za-z0-9]{14}\.[a-f0-9]{64}/,
    "airtable.com/developers/web/api/authentication",
  ],
  [
    "Figma: tokens",
    /fig(?:d|u|or|oh|ur|uh)_[A-Za-z0-9_-]{20,}/,
    "developers.figma.com/docs/rest-api/authentication",
  ],
  [
    "Asana: personal access tokens",
    /[012]\/[0-9]{10,20}(?:\/[0-9]{10,20})?:[a-f0-9]{32}/,
    "developers.asana.com/docs/personal-access-token",
  ],
  [
    "ClickUp: personal tokens",
    /pk_[0-9]{4,12}_[A-Z0-9]{32}/,
    "developer.clickup.com/docs/authentication",
  ],
  [
    "Typeform: tokens",
    /tfp_[A-Za-z0-9_.=-]{20,}/,
    "typeform.com/developers/get-started/personal-access-token",
  ],
  [
    "HubSpot: private app tokens",
    /pat-(?:na|eu|ap)[0-9]-[a-f0-9]{8}(?:-[a-f0-9]{4}){3}-[a-f0-9]{12}/,
    "developers.hubspot.com/docs/guides/apps/private-apps/overview",
  ],
  [
    "Contentful: management tokens",
    /CFPAT-[A-Za-z0-9_-]{20,}/,
    "contentful.com/developers/docs/references/authentication",
  ],
  [
    "ReadMe: API keys",
    /rdme_[a-z0-9]{20,}/,
    "docs.readme.com/main/reference/authentication",
  ],
  [
    "Apify: tokens",
    /apify_api_[A-Za-z0-9]{20,}/,
    "docs.apify.com/platform/integrations/api",
  ],
  [
    "Dropbox: access tokens",
    /sl\.(?:u\.)?[A-Za-z0-9_-]{100,}/,
    "developers.dropbox.com/oauth-guide",
  ],
  [
    "Meta: access tokens",
    /EAA[A-Za-z0-9]{60,}/,
    "developers.facebook.com/docs/facebook-login/guides/access-tokens",
  ],
  [
    "X: bearer tokens",
    /A{20}[A-Za-z0-9%]{50,}/,
    "docs.x.com/fundamentals/authentication/oauth-2-0/bearer-tokens",
  ],
  [
    "Mapbox: secret tokens",
    /[st]k\.eyJ[A-Za-z0-9_-]{20,1000}\.[A-Za-z0-9_-]{16,}/,
    "docs.mapbox.com/help/dive-deeper/access-tokens",
  ],
  [
    "Grafana: service accounts, Cloud",
    /gl(?:sa|c|t|mc)_[A-Za-z0-9+/_]{24,}={0,2}/,
    "grafana.com/docs/grafana/latest/administration/service-accounts",
  ],
  [
    "New Relic: keys",
    /NR(?:AK|II|IQ|RA|SP|AA|AL)-[A-Za-z0-9_-]{20,}/,
    "docs.newrelic.com/docs/apis/intro-apis/new-relic-api-keys",
  ],
  [
    "New Relic: licence keys",
    /[a-f0-9]{36}(?:NRAL|FFFFNRAL)/,
    "docs.newrelic.com/docs/apis/intro-apis/new-relic-api-keys",
  ],
  [
    "Sentry: tokens",
    /(?:sntrys_eyJ[A-Za-z0-9+/=_]{40,}|sntryu_[a-f0-9]{64})/,
    "docs.sentry.io/account/auth-tokens",
  ],
  [
    "Dynatrace: tokens",
    /dt0[a-z][0-9]{2}\.[A-Z0-9]{8,24}\.[A-Z0-9]{64}/,
    "docs.dynatrace.com/docs/manage/identity-access-management/access-tokens-and-oauth-clients/access-tokens",
  ],
  ["PostHog: personal keys", /ph[xs]_[A-Za-z0-9]{20,}/, "posthog.com/docs/api"],
  [
    "LaunchDarkly: SDK keys, access tokens",
    /(?:sdk|api)-[a-f0-9]{8}(?:-[a-f0-9]{4}){3}-[a-f0-9]{12}/,
    "launchdarkly.com/docs/home/account/api",
  ],
  [
    "Honeycomb: ingest keys",
    /hc[a-z]i[kc]_[a-z0-9]{50,}/,
    "docs.honeycomb.io/configure/environments/manage-api-keys",
  ],
  [
    "Axiom: tokens",
    /xa[ap]t-[a-f0-9]{8}(?:-[a-f0-9]{4}){3}-[a-f0-9]{12}/,
    "axiom.co/docs/reference/tokens",
  ],

  // Not of one company
  [
    "Fernet and others: keys of 256 bits",
    /[A-Za-z0-9+/_-]{43}=(?![A-Za-z0-9=])/,
    "cryptography.io/en/latest/fernet",
  ],
  [
    "JSON Web Tokens, signed and encrypted",
    /eyJ[A-Za-z0-9_-]{8,1000}(?:\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*|\.\.[A-Za-z0-9_-]{8,})(?:\.[A-Za-z0-9_-]+){0,2}/,
    "rfc-editor.org/rfc/rfc7519",
  ],
];

/** Secrets that are recognizable by their shape, as their issuers document it. */
export const secretShapes: readonly SecretShape[] = rows.map((
  [whose, shape, source],
) => ({
  whose,
  shape,
  source: `https://${source}`,
}));
