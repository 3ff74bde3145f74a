import assert from "node:assert/strict";
import { createMask } from "../../../supabase/functions/autonomous-code-fixer/mask-secrets.ts";

// Put together here, so that no scanner takes the tests for a leak.
const githubToken = ["ghp", "abcdefghijklmnopqrstuvwxyz0123456789"].join("_");
const stripeKey = ["sk", "live", "abcdefghij0123456789"].join("_");

/** What stands around a secret says that it is one: `«` and `»` are around what must go. */
const told: [string, string][] = [
  ["a password in quotes", `db_password = "«correcthorse»"`],
  ["a password of several words", `password = '«correct horse 1»'`],
  ["a short password", `pwd="«abcd»"`],
  ["a password with a quote of the other kind", `password = "«it's-me»"`],
  ["a password with an escaped quote", String.raw`password = "«a\"bcd»", x`],
  ["a password in three quotes", `secret = """«hunter22»"""`],
  ["a key of an object", `{'api_key': '«abcdefgh12»', 'x': 1}`],
  ["JSON", `{"client_secret": "«s3cr3tvalue»", "x": 1}`],
  ["JSON within a text", String.raw`"{\"password\": \"«hunter22»\"}"`],
  ["a typed name", `token: str = "«abcd1234efgh»"`],
  ["an entry", `os.environ["API_KEY"] = "«abcd1234efgh»"`],
  ["a comparison", `if password == "«hunter22»":`],
  ["a default", `os.environ.setdefault("DB_PASSWORD", "«hunter22»")`],
  ["arguments of a command", `run(["login", "--password", "«hunter22»"])`],
  ["bytes", `SECRET_KEY = b"«not-a-secret-really»"`],
  ["a setting with a suffix", `DB_PASSWORD_PROD = "«correcthorse»"`],
  ["a file of settings", `export PASSWORD=«correcthorse»\nNAME=x`],
  ["a connection string", "host=db password=«correcthorse» user=ann"],
  ["a password with a comma", "host=db password=«hunter,22» user=ann"],
  ["numbers", "password=«123456» and so on"],
  ["a URL's parameter", "https://x.io/?a=1&password=«correcthorse»&b=2"],
  ["an OAuth parameter", "POST client_id=a&client_secret=«abcdefgh»&x=1"],
  ["a signed URL", "https://b.s3.io/x?X-Amz-Signature=«0a1b2c3d4e5f»&y=1"],
  [
    "a shared access signature",
    "https://a.blob.io/x?sv=2024&sig=«aB3%2FcD4%3D»&se=1",
  ],
  ["an account key", "AccountName=a;AccountKey=«aB3cD4eF5gH6==»;Suffix=x"],
  [
    "an AWS secret",
    "aws_secret_access_key = «wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY»",
  ],
  ["a log line", "login failed: password: «hunter22»"],
  ["YAML", "api-key: «abcd-1234-efgh»\nname: x"],
  ["an option", "psql --password «hunter22» -h db"],
  ["an option with =", "login --token=«abcd1234efgh» now"],
  ["a user of curl", "curl -u ann:«hunter22» https://x.io"],
  ["a password of an environment that is a word", "PGPASSWORD=«secret» psql"],
  ["a password that speaks of itself", "DB_PASSWORD=«MySecretPassword»\nX=1"],
  ["a password that speaks of itself, with a digit", "password: «mysecret123»"],
  ["a password that speaks of itself, in small letters", "password=«mysecret123»\n"],
  [
    "a key of PuTTY",
    "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nPrivate-Lines: 1\n«AAAAIGsx»-",
  ],
  ["a key in letters", `access_token = "«abcdefghijkl»"`],
  ["an id that is a key", "HEROKU_API_KEY=«12345678-1234-1234-1234-123456789012»"],
  ["Ruby and PHP", `'passwd' => '«hunter22»'`],
  ["XML", "<db:password>«correcthorse»</db:password>"],
  ["settings in XML", `<add key="ApiKey" value="«abcd1234efgh»"/>`],
  ["a name and a value that are encoded", "?x%3D1%26password%3D«hunter22»"],
  ["SQL", "create role ann password '«hunter22»'"],
  ["a sentence", "the password is «hunter22»"],
  ["an empty scheme", "bearer: «abcdef123456»"],
  [".netrc", "machine x.io login ann password «correcthorse»"],
  [".npmrc", "//x.io/:_auth=«YW5uOmh1bnRlcjIy»"],
  [".dockerconfigjson", `{"auths": {"x.io": {"auth": "«YW5uOmh1bnRlcjIy»"}}}`],
  ["a pair of user and password", `get(url, auth=("ann", "«hunter22»"))`],
  ["a password of mysql", "mysql -u ann -p«hunter22» db"],
  ["a password of ssh", "sshpass -p '«hunter22»' ssh x"],
  ["a password of Redis", "redis-cli -h x -a «hunter22»"],
  ["a bearer token", "Authorization: Bearer «abcdefghijklmnop==»"],
  ["a bearer token without its header", "sent Bearer «abcdefghijklmnop»"],
  [
    "basic authentication",
    `headers = {"Authorization": "Basic «YW5uOmh1bnRlcjIy»"}`,
  ],
  ["basic authentication without its header", "sent Basic «YW5uOmh1bnRlcjIy»"],
  ["another scheme", "Authorization: token «abcd1234efgh»"],
  ["a header without a scheme", `{"authorization": "«abcdefgh»"}`],
  ["an API key's header", "x-api-key: «abcd1234efgh»"],
  ["a header for curl", `curl -H "PRIVATE-TOKEN: «abcd1234efgh»" https://x.io`],
  ["cookies", "Cookie: «session=abcdef; theme=dark»"],
  ["a cookie that is set", "Set-Cookie: «sid=abcdef; Path=/»"],
  ["a URL's password", "postgres://ann:«hunter22»@db/x"],
  ["a URL's password with @", "postgres://ann:«hunt@er@22»@db/x"],
  ["a URL's password with a slash", "postgres://ann:«hunt/er»@db/x"],
  ["a URL's password without a user", "redis://:«hunter22»@cache:6379/0"],
  ["a URL's password of digits", "postgres://ann:«12345»@db/x"],
  [
    "a URL's user that is a token",
    "https://«abcdefghij0123456789abcd»@github.com/x",
  ],
  [
    "a key that was cut off",
    `k = "-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0BAQEF`.replace(
      "-----B",
      "«-----B",
    ) + "»",
  ],
  [
    "a key on one line",
    String
      .raw`{"private_key": "«-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----»\n"}`,
  ],
  [
    "a PGP key",
    "«-----BEGIN PGP PRIVATE KEY BLOCK-----x-----END PGP PRIVATE KEY BLOCK-----»",
  ],
];

for (const [name, text] of told) {
  Deno.test(`createMask() masks known secrets: ${name}`, () => {
    assert.equal(
      createMask([])(text.replace(/[«»]/g, "")),
      text.replace(/«.*»/, "[masked-1]"),
    );
  });
}

/** Code and words that only look like it, and stay. */
const ordinary: [string, string][] = [
  [
    "code",
    'import json\ntokens = text.split("secret garden")\nkey = row["api_key"]\nsk = 3\n',
  ],
  ["a call", "password = get_password()"],
  ["an entry", `password = os.environ["DB_PASSWORD"]`],
  ["an attribute", "self.token = settings.api.token"],
  ["an argument", "connect(user=user, password=password, token=my_token)"],
  ["an argument of another name", "connect(password=passphrase, port=5432)"],
  [
    "a type",
    "def f(password: str = None, token: Optional[str] = Header(None), secret: SecretStr):",
  ],
  ["nothing", "password=None token=null secret=false"],
  [
    "a variable of a shell",
    "export TOKEN=$GITHUB_TOKEN PASSWORD=${DB_PASSWORD}",
  ],
  [
    "a placeholder",
    `token = "{token}"; secret = "<your secret>"; password = "%s"; pwd = "****"`,
  ],
  ["a format", `f"Bearer {token}" + f"password={password}"`],
  [
    "a joined text",
    `url = "x?password=" + password + "&y=1"; print("Token: " + token)`,
  ],
  ["a prompt", `getpass("Password: ") or input("Token: ")`],
  ["numbers", "max_tokens=8192 token: 512 total_tokens = 12345678"],
  ["a count", "token_count = 1234567 tokens: 12345678 secrets=12345678"],
  ["names in a list", `["token", "password", "secret"]`],
  ["a tokenizer", `AutoTokenizer.from_pretrained("bert-base-uncased-12")`],
  [
    "words",
    "the token is missing; the password was wrong; a secret: nobody knows",
  ],
  ["what went wrong", "invalid token: expired, password: incorrect"],
  ["a comparison of words", `if token == "identifier":`],
  [
    "words after Basic and Bearer",
    "Basic understanding of bearer authentication",
  ],
  ["a port", "http://localhost:8080/@scope/x and https://x.io:443/a@b"],
  ["a user", "ssh://git@github.com/x and https://ann@x.io/"],
  ["an address", "mail ann@example.com: ready"],
  ["a directory", "PWD=/home/ann/project"],
  ["arguments, one a line", "connect(\n    password=db_password,\n    token=settings.token\n)"],
  ["variables with a digit", "token = token2\nf(password=password1, secret=my_secret_2)"],
  ["counts", "7 pass: 12, password: none, 3 tokens is 5 > 4"],
  ["a statement that does nothing", "if token > 5:\n    pass\nelse: pass"],
  ["a sentence", "the password was wrong and the token is missing"],
  ["a list of pairs", `auth=(user, password), fields=("name", "password")`],
  [
    "the begin of a key",
    `if "-----BEGIN PRIVATE KEY-----" in text:\n    use(text)`,
  ],
  ["a hash", "d41d8cd98f00b204e9800998ecf8427e"],
  ["an id", "550e8400-e29b-41d4-a716-446655440000"],
  [
    "a header's name",
    `request.headers["Authorization"] and headers.get("x-api-key")`,
  ],
];

for (const [name, text] of ordinary) {
  Deno.test(`createMask() does not mask ${name}`, () => {
    assert.equal(createMask([])(text), text);
  });
}

Deno.test("createMask() gives the same secret the same name in every text, and another one another", () => {
  const mask = createMask(["the-known-key"]);
  const [one, two] = [githubToken, stripeKey];
  assert.equal(
    mask(`a = "${one}"\nb = "${two}"`),
    'a = "[masked-1]"\nb = "[masked-2]"',
  );
  assert.equal(
    mask(`Error: ${two} refused, ${one} too`),
    "Error: [masked-2] refused, [masked-1] too",
  );
  assert.equal(mask("the-known-key"), "[masked-3]");
  assert.equal(
    mask('token = "[masked-1]"'),
    'token = "[masked-1]"',
    "masked already",
  );
});

Deno.test("createMask() keeps the lines of a private key", () => {
  const key = [
    "-----BEGIN RSA PRIVATE KEY-----",
    "abc",
    "def",
    "-----END RSA PRIVATE KEY-----",
  ];
  const masked = createMask([])(`key = """${key.join("\n")}"""\nuse(key)`);
  assert.equal(masked.split("\n").length, 5);
  assert.doesNotMatch(masked, /abc|def/);
  assert.match(masked, /\nuse\(key\)$/);
});

Deno.test("createMask() takes a longer known secret before a shorter one that is part of it", () => {
  assert.equal(
    createMask(["abc", "abc-def", ""])("abc-def abc"),
    "[masked-1] [masked-2]",
  );
});

Deno.test("createMask() takes time in proportion to the text, also for hostile texts", () => {
  const parts = [
    ..."aA0-_.=/+@: \n\"'\\",
    ...[
      "a.",
      "f0",
      "://",
      "://a:",
      "://a:b@",
      "eyJ",
      "eyJaaaaaaaaa-",
      "eyJaaaaaaaa.",
      "sk-",
      "sk_a",
      "xoxb-",
      "M.",
      "s.a",
    ],
    ...[
      "1/1",
      "dp.pt.",
      "A\n",
      "\\n",
      "%3D",
      "\x1b[31m",
      "AAAAA BBBBB ",
      "-----BEGIN ",
      "PuTTY-User-Key-File-",
    ],
    ...[
      "-----BEGIN PRIVATE KEY-----",
      `-----BEGIN PRIVATE KEY-----\n${"A".repeat(28)}`,
      "curl ",
      "curl -u ",
    ],
    ...[
      "token='",
      'token="',
      "token=",
      "token\\\\\\",
      "password: ",
      "password:a",
      "pass_",
      "_pw",
      "secret: A ",
    ],
    ...["cookie: a=", "--token ", "?key=", "Bearer ", "Basic AAAAAAAA "],
  ];
  for (const part of parts) {
    const take = (length: number) => {
      const text = part.repeat(length / part.length);
      const begun = performance.now();
      createMask(["the-known-key"])(text);
      return performance.now() - begun;
    };
    let long = NaN;
    // Ten times the text takes about ten times as long; a hundred times would be its square. What else the machine does
    // can only make one of the two slower, so one of three times is enough.
    const isInProportion = () => (long = take(1_000_000)) < 1_500 || long < 30 * take(100_000);
    assert.ok(
      [1, 2, 3].some(isInProportion),
      `${JSON.stringify(part)}: ${long} ms`,
    );
  }
});
