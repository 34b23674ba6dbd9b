// An OpenID provider for the tests: `oidc-provider` with two clients and some people. Who comes is logged in at once, as
// Alice, or as whom the cookie `person` names.
// Arguments: port (0: any), seconds that a code lives, one more address that clients return to. Keys are new at every
// start. Says `ready <port>` on stdout and ends when stdin does.
import { createServer } from 'node:http';
import { exportJWK, generateKeyPair } from 'jose';

console.warn = () => {}; // its advice for production, and that it would like a newer Node
const { Provider } = await import('oidc-provider');

const [port, codeSeconds] = [Number(process.argv[2] ?? 0), Number(process.argv[3] ?? 60)];
const redirect_uris = ['http://127.0.0.1:1/return', ...process.argv.slice(4, 5)];

async function key(alg) {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  return { ...(await exportJWK(privateKey)), alg, use: 'sig' };
}

const people = {
  alice: { email: 'alice@example.com', email_verified: true, name: 'Alice Example', groups: ['dispatch', 'night'] },
  zoe: { email: 'zoe@example.com', email_verified: true, name: 'Zoe Example' },
  // Says that she is Alice, which nobody has verified.
  eve: { email: 'alice@example.com', email_verified: false, name: 'Alice Example' },
};

const server = createServer();
server.listen(port, '127.0.0.1', async () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: 'drover',
        client_secret: 'a-secret-of-the-tests',
        redirect_uris,
        id_token_signed_response_alg: 'RS256',
      },
      {
        client_id: 'drover-public',
        redirect_uris,
        token_endpoint_auth_method: 'none',
        id_token_signed_response_alg: 'ES256',
      },
    ],
    claims: {
      openid: ['sub'],
      email: ['email', 'email_verified'],
      profile: ['name'],
      groups: ['groups'],
      refusal: ['refusal'],
    },
    cookies: { keys: ['only-for-tests'] },
    features: { devInteractions: { enabled: false } },
    findAccount: (_, id) => people[id] && { accountId: id, claims: () => ({ sub: id, ...people[id] }) },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    jwks: { keys: [await key('RS256'), await key('ES256')] },
    pkce: { required: () => true },
    ttl: { AuthorizationCode: codeSeconds, Session: 600, Interaction: 600, Grant: 600, AccessToken: 600, IdToken: 600 },
  });
  // In place of a page: whoever comes agrees; unless the scope `refusal` is asked for.
  provider.use(async (context, next) => {
    if (!context.path.startsWith('/interaction/')) return next();
    const { params } = await provider.interactionDetails(context.req, context.res);
    if (params.scope.includes('refusal')) {
      return provider.interactionFinished(context.req, context.res, {
        error: 'access_denied', error_description: 'she does not want to',
      });
    }
    const accountId = context.cookies.get('person', { signed: false }) ?? 'alice';
    const grant = new provider.Grant({ accountId, clientId: params.client_id });
    grant.addOIDCScope(params.scope);
    const result = { login: { accountId }, consent: { grantId: await grant.save() } };
    return provider.interactionFinished(context.req, context.res, result);
  });
  provider.on('server_error', (_, error) => console.error(error));
  server.on('request', provider.callback());
  console.log(`ready ${server.address().port}`);
});
process.stdin.resume().on('end', () => process.exit(0));
