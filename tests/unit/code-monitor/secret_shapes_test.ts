import assert from "node:assert/strict";
import { createMask } from "../../../supabase/functions/autonomous-code-fixer/mask-secrets.ts";
import { secretShapes } from "../../../supabase/functions/autonomous-code-fixer/secret-shapes.ts";

/**
 * For each shape a secret as its owner documents it, and ordinary text that is like it and stays. The secrets are made
 * here, so that no scanner takes the tests for a leak: {A36} stands for 36 letters and digits, {h…} for hexadecimal digits,
 * {l…} and {U…} for digits and small or capital letters, {d…} for digits. What comes before a blank says what the rest is.
 */
const examples: readonly [whose: string, secret: string, ordinary: string][] = [
  ["GitHub: tokens", "ghp_{A36}", "ghp_ and gho_ are prefixes"],
  [
    "GitHub: fine-grained tokens",
    "github_pat_{A22}_{A59}",
    "github_pat_example",
  ],
  ["GitLab: tokens", "glpat-{A20}", "glpat-short"],
  ["GitLab: runner registration", "GR1348941{A20}", "GR1348941"],
  ["Bitbucket: access tokens, app passwords", "ATBB{A32}", "ATBBASH"],
  ["Atlassian: API tokens", "ATATT3{A180}=1A2B3C4D", "ATATT3 begins them"],
  ["npm: access tokens", "npm_{A36}", "npm_config_registry_default_value"],
  ["PyPI: API tokens", "pypi-AgEIcHlwaS5vcmc{A60}", "pypi-simple-index"],
  ["RubyGems: API keys", "rubygems_{h48}", "rubygems_version_requirement"],
  ["crates.io: API tokens", "cio{A32}", "circumstances"],
  ["NuGet: API keys", "oy2{l43}", "oy2 is short"],
  ["Clojars: deploy tokens", "CLOJARS_{h60}", "CLOJARS_USERNAME"],
  ["Docker: access tokens", "dckr_pat_{A27}", "dckr_pat_"],
  ["Artifactory: API keys, reference tokens", "AKCp{A69}", "AKCproxy"],
  [
    "CircleCI: personal and project tokens",
    "CCIPAT_{A22}_{h40}",
    "CCIPAT_name_ab12",
  ],
  ["Buildkite: API tokens", "bkua_{h40}", "bkua_token"],
  ["SonarQube: tokens", "squ_{h40}", "squ_factor"],
  ["Sourcegraph: access tokens", "sgp_{h16}_{h40}", "sgp_local_name"],
  ["Postman: API keys", "PMAK-{h24}-{h34}", "PMAK-24-34"],
  ["Octopus Deploy: API keys", "API-{U26}", "API-VERSION-HEADER"],
  ["Pulumi: access tokens", "pul-{h40}", "pul-stack-name"],
  ["Terraform: API tokens", "{A14}.atlasv1.{A67}", "app.terraform.io"],
  ["HashiCorp Vault: tokens", "hvs.{A95}", "hvs.json"],
  [
    "HashiCorp Vault: tokens before 1.10",
    "s.{A24}",
    "s.removeprefixAndStripBlanks",
  ],
  ["Doppler: tokens", "dp.st.prd_main.{A43}", "dp.pt.name"],
  ["1Password: service accounts", "ops_eyJ{A250}", "ops_eyJson"],
  ["1Password: secret keys", "A3-{U6}-{U6}-{U5}-{U5}-{U5}-{U5}", "A3-PAPER"],
  ["age: secret keys", "AGE-SECRET-KEY-1{U58}", "AGE-SECRET-KEY-1"],
  ["Tailscale: keys", "tskey-auth-{A17}-{A32}", "tskey-auth"],
  ["OpenShift: tokens", "sha256~{A43}", "sha256~short"],
  ["Prefect: API keys", "pnu_{A36}", "pnu_name"],
  ["Harness: API keys", "pat.{A22}.{A24}.{A20}", "pat.path.join.name"],
  ["AWS: access key ids", "AKIA{U16}", "AKIAN"],
  ["AWS: Bedrock API keys", "ABSK{A120}=", "ABSKETCH"],
  ["Google: API keys", "AIza{A35}", "AIzawa"],
  ["Google: access tokens", "ya29.{A100}", "ya29.com"],
  ["Google: refresh tokens", "1//0{A60}", "1//0 is a division"],
  ["Google: client secrets", "GOCSPX-{A28}", "GOCSPX-"],
  ["Azure: client secrets", "{A3}8Q~{A34}", "Q8Q~short"],
  ["Azure: account keys of 512 bits", "{A86}==", "aGVsbG8="],
  ["Azure DevOps: personal access tokens", "{A76}AZDO{A4}", "AZDO"],
  [
    "Microsoft Teams: webhooks",
    "https://acme.webhook.office.com/ webhookb2/{h8}-{h4}-{h4}-{h4}-{h12}@{h8}-{h4}-{h4}-{h4}-{h12}/IncomingWebhook/{h32}/{h8}",
    "https://acme.webhook.office.com/webhookb2",
  ],
  ["DigitalOcean: tokens", "dop_v1_{h64}", "dop_v1_key"],
  ["Heroku: API keys", "HRKU-{A60}", "HRKU-"],
  ["Alibaba Cloud: access key ids", "LTAI{A20}", "LTAInterface"],
  ["Yandex Cloud: API keys, IAM tokens", "AQVN{A36}", "t1.time.clock"],
  ["Fly.io: tokens", "fo1_{A43}", "fo1_name"],
  ["Render: API keys", "rnd_{A28}", "rnd_seed_for_all_of_the_tests"],
  ["Vercel: tokens", "vcp_{A56}", "vcp_name"],
  ["Netlify: access tokens", "nfp_{A36}", "nfp_name"],
  ["Cloudflare: keys and tokens", "cfut_{A48}", "cfk_name"],
  ["Cloudflare: origin CA keys", "v1.0-{h24}-{h146}", "v1.0-beta"],
  ["Supabase: access tokens", "sbp_{h40}", "sbp_"],
  ["Supabase: secret keys", "sb_secret_{A31}", "sb_secret_"],
  ["Neon: API keys", "napi_{A64}", "napi_status"],
  ["PlanetScale: tokens and passwords", "pscale_tkn_{A43}", "pscale_tkn_id"],
  ["MongoDB Atlas: service account secrets", "mdb_sa_sk_{A40}", "mdb_sa_sk_"],
  ["Aiven: service passwords", "AVNS_{A19}", "AVNS_NAME"],
  ["Databricks: tokens", "dapi{h32}", "dapi/v1/deadbeef"],
  ["Grafana: legacy API keys", "eyJrIjoi{A80}", "eyJrIjoi"],
  ["Anthropic: API keys", "sk-ant-api03-{A93}AA", "sk-ant-"],
  ["OpenRouter: API keys", "sk-or-v1-{h64}", "sk-or-v1"],
  [
    "OpenAI, DeepSeek and others: API keys",
    "sk-proj-{A74}",
    "sk-learn-some-package-name",
  ],
  ["Groq: API keys", "gsk_{A52}", "gsk_model"],
  ["Hugging Face: tokens", "hf_{A34}", "hf_hub_download_with_retries"],
  ["xAI: API keys", "xai-{A80}", "xai-grok"],
  ["Perplexity: API keys", "pplx-{A48}", "pplx-online"],
  ["Replicate: tokens", "r8_{A37}", "r8_g8_b8"],
  ["NVIDIA: API keys", "nvapi-{A64}", "nvapi-name"],
  ["Cerebras: API keys", "csk-{l48}", "csk-name"],
  ["Pinecone: API keys", "pcsk_{A70}", "pcsk_name"],
  ["Tavily: API keys", "tvly-dev-{A32}", "tvly-name"],
  ["LangSmith: keys", "lsv2_pt_{h32}_{h10}", "lsv2_pt_name"],
  ["ElevenLabs: API keys", "sk_{h48}", "sk_model"],
  ["Slack: tokens", "xoxb-{d12}-{d13}-{A24}", "xoxb-"],
  ["Slack: configuration tokens", "xoxe.xoxp-1-{A163}", "xoxe.py"],
  ["Slack: app-level tokens", "xapp-1-{U11}-{d13}-{h64}", "xapp-name"],
  [
    "Slack: webhooks",
    "https://hooks.slack.com/services/ T{U8}/B{U8}/{A24}",
    "https://hooks.slack.com/services/",
  ],
  ["Discord: bot tokens", "M{A23}.{A6}.{A38}", "Mail.update.received"],
  [
    "Discord: webhooks",
    "https://discord.com/api/webhooks/ {d18}/{A68}",
    "https://discord.com/api/webhooks/123",
  ],
  ["Telegram: bot tokens", "{d10}:AA{A33}", "1234567:name"],
  ["Twilio: API key SIDs", "SK{h32}", "SKIPPED"],
  ["SendGrid: API keys", "SG.{A22}.{A43}", "SG.name.py"],
  ["Mailgun: private keys", "key-{h32}", "key-value"],
  [
    "Mailgun: API keys",
    "{h32}-{h8}-{h8}",
    "d41d8cd98f00b204e9800998ecf8427e-part-1",
  ],
  [
    "Mailchimp: API keys",
    "{h32}-us14",
    "d41d8cd98f00b204e9800998ecf8427e-user",
  ],
  ["Mandrill: API keys", "md-{A22}", "md-button-with-an-icon"],
  ["Brevo: API and SMTP keys", "xkeysib-{h64}-{A16}", "xkeysib-"],
  ["Resend: API keys", "re_{A8}_{A24}", "re_compile_all"],
  ["Stripe, Paystack, Clerk: keys", "rk_live_{A24}", "sk_live_name"],
  ["Stripe, Svix: webhook secrets", "whsec_{A32}", "whsec_name"],
  ["Square: tokens and secrets", "sq0csp-{A43}", "sq0idp-name"],
  [
    "PayPal, Braintree: access tokens",
    "access_token$production${l16}${h32}",
    "access_token$production",
  ],
  ["Adyen: API keys", "AQEy{A70}-{A40}=-{A16}", "AQEdge"],
  ["Razorpay: keys", "rzp_live_{A14}", "rzp_test_"],
  ["Mollie: API keys", "live_{A30}", "test_everything"],
  ["Flutterwave: secret keys", "FLWSECK-{h32}-X", "FLWSECK"],
  [
    "Plaid: access tokens",
    "access-production-{h8}-{h4}-{h4}-{h4}-{h12}",
    "access-production-database",
  ],
  ["Shopify: tokens and secrets", "shpat_{h32}", "shpat_"],
  ["EasyPost: API keys", "EZAK{A54}", "EZAK"],
  ["Shippo: tokens", "shippo_live_{h40}", "shippo_test_mode"],
  ["Duffel: access tokens", "duffel_test_{A43}", "duffel_test_mode"],
  ["Notion: tokens", "ntn_{d11}{A35}", "ntn_page"],
  ["Notion: older tokens", "secret_{A43}", "secret_santa_list"],
  ["Linear: keys and tokens", "lin_api_{A40}", "lin_api_client"],
  ["Airtable: tokens", "pat{A14}.{h64}", "pattern.match"],
  ["Figma: tokens", "figd_{A40}", "figd_file"],
  ["Asana: personal access tokens", "1/{d16}:{h32}", "1/1200:30"],
  ["ClickUp: personal tokens", "pk_{d8}_{U32}", "pk_1_index"],
  ["Typeform: tokens", "tfp_{A44}_{A14}", "tfp_form"],
  [
    "HubSpot: private app tokens",
    "pat-na1-{h8}-{h4}-{h4}-{h4}-{h12}",
    "pat-na1-main",
  ],
  ["Contentful: management tokens", "CFPAT-{A43}", "CFPAT-"],
  ["ReadMe: API keys", "rdme_{l70}", "rdme_doc"],
  ["Apify: tokens", "apify_api_{A36}", "apify_api_client"],
  ["Dropbox: access tokens", "sl.u.{A130}", "sl.update_all"],
  ["Meta: access tokens", "EAA{A180}", "EAArray"],
  [
    "X: bearer tokens",
    "AAAAAAAAAAAAAAAAAAAAAA{A80}",
    "AAAAAAAAAAAAAAAAAAAAAAAA",
  ],
  ["Mapbox: secret tokens", "sk.eyJ{A60}.{A22}", "sk.eyJson.name"],
  ["Grafana: service accounts, Cloud", "glsa_{A32}_{h8}", "glt_file"],
  ["New Relic: keys", "NRAK-{U27}", "NRAK-"],
  ["New Relic: licence keys", "{h36}NRAL", "deadbeefNRAL"],
  ["Sentry: tokens", "sntryu_{h64}", "sntryu_name"],
  ["Dynatrace: tokens", "dt0c01.{U24}.{U64}", "dt0c01.NAME"],
  ["PostHog: personal keys", "phx_{A43}", "phx_router"],
  [
    "LaunchDarkly: SDK keys, access tokens",
    "sdk-{h8}-{h4}-{h4}-{h4}-{h12}",
    "sdk-python",
  ],
  ["Honeycomb: ingest keys", "hcaik_{l58}", "hcaik_name"],
  ["Axiom: tokens", "xaat-{h8}-{h4}-{h4}-{h4}-{h12}", "xaat-name"],
  ["Fernet and others: keys of 256 bits", "{A43}=", "aGVsbG8gd29ybGQ="],
  [
    "JSON Web Tokens, signed and encrypted",
    "eyJ{A30}.eyJ{A60}.{A43}",
    "eyJhbGciOiJIUzI1NiJ9",
  ],
];

const alphabets: Record<string, string> = {
  A: "aB3cD4eF5gH6iJ7kL8mN9oP0qR1sT2uVwXyZ",
  h: "0a1b2c3d4e5f6789",
  l: "a1b2c3d4e5f6g7h8i9j0",
  U: "A2B3C4D5E6F7G2H3J4K5",
  d: "1234567890",
};

function make(template: string): { before: string; secret: string } {
  const made = template.replaceAll(
    /\{([AhlUd])(\d+)\}/g,
    (_, kind: string, length: string) => {
      const alphabet = alphabets[kind]!;
      return alphabet.repeat(Math.ceil(Number(length) / alphabet.length)).slice(
        0,
        Number(length),
      );
    },
  );
  const [secret, before = ""] = made.split(" ").reverse();
  return { before, secret: secret! };
}

for (const [whose, template, ordinary] of examples) {
  const { before, secret } = make(template);

  Deno.test(`createMask() masks ${whose}`, () => {
    const mask = createMask([]);
    assert.equal(
      mask(`x = f("${before}${secret}")`),
      `x = f("${before}[masked-1]")`,
      "code",
    );
    assert.equal(
      mask(`refused ${before}${secret}, sorry`),
      `refused ${before}[masked-1], sorry`,
    );
    if (before !== "") return;
    assert.equal(
      mask(String.raw`a\n${secret}\n`),
      String.raw`a\n[masked-1]\n`,
      "after an escape",
    );
    assert.equal(mask(`x%3D${secret}`), "x%3D[masked-1]", "in a URL");
    assert.equal(
      mask(`\x1b[31m${secret}\x1b[0m`),
      "\x1b[31m[masked-1]\x1b[0m",
      "in colour",
    );
  });

  Deno.test(`createMask() does not mask a text that only resembles ${whose}`, () => {
    for (const text of [ordinary, `f(${ordinary})`, `see ${ordinary} there`]) {
      assert.equal(createMask([])(text), text);
    }
  });
}

Deno.test("each shape of a secret has its example and names the page that documents it", () => {
  assert.deepEqual(
    examples.map(([whose]) => whose),
    secretShapes.map(({ whose }) => whose),
  );
  for (const { whose, shape, source } of secretShapes) {
    const { before, secret } = make(
      examples.find(([name]) => name === whose)![1],
    );
    assert.match(before + secret, shape, whose);
    assert.match(source, /^https:\/\/[a-z0-9.-]+\.[a-z]+\//, whose);
  }
});
