// A provider that lies on demand. The code that it is given says what to put into the token: JSON with `fault`
// and `nonce`. Arguments: port (0: any), and for TLS the files of a certificate and its key. Says `ready <port>` on
// stdout, writes the path of each request there, and ends when stdin does.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { SignJWT, UnsecuredJWT, exportJWK, generateKeyPair } from 'jose';

const [port, certificate, certificateKey] = process.argv.slice(2);
const secret = 'a-secret-of-the-tests';
const pair = async (kid) => ({ kid, ...(await generateKeyPair('RS256', { extractable: true })) });
const own = await pair('own');
const foreign = await pair('own');
const unpublished = await pair('unpublished');
const accessToken = 'an-access-token';

async function token(fault, nonce, issuer) {
  const now = Math.floor(Date.now() / 1000);
  const half = createHash('sha256').update(accessToken).digest().subarray(0, 16).toString('base64url');
  const claims = {
    iss: issuer, sub: 'bob', aud: 'drover', iat: now, exp: now + 600, nonce, at_hash: half,
    email: 'bob@example.com', email_verified: 'true', name: 'Bob', groups: 'drivers',
  };
  switch (fault) {
    case 'audience': claims.aud = 'somebody-else'; break;
    case 'audiences': claims.aud = ['drover', 'somebody-else']; break;
    case 'party': claims.azp = 'somebody-else'; break;
    case 'issuer': claims.iss = 'https://somebody.example'; break;
    case 'nonce': claims.nonce = 'another'; break;
    case 'no-nonce': delete claims.nonce; break;
    case 'expired': claims.exp = now - 1; break;
    case 'at_hash': claims.at_hash = Buffer.alloc(16).toString('base64url'); break;
    case 'other-subject': delete claims.email; break;
    default:
  }
  if (fault === 'unsigned') return new UnsecuredJWT(claims).encode();
  if (fault === 'symmetric') {
    return new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(new TextEncoder().encode(secret));
  }
  const key = { foreign, unpublished }[fault] ?? own;
  return new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: key.kid }).sign(key.privateKey);
}

async function answer(request, body, issuer) {
  const path = new URL(request.url, issuer).pathname;
  console.log(path);
  if (path === '/.well-known/openid-configuration') {
    return {
      issuer,
      authorization_endpoint: `${issuer}/authorize`,
      token_endpoint: `${issuer}/token`,
      userinfo_endpoint: `${issuer}/me`,
      jwks_uri: `${issuer}/jwks`,
      response_types_supported: ['code'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['RS256', 'HS256', 'none'],
      token_endpoint_auth_methods_supported: ['client_secret_post'],
    };
  }
  if (path === '/jwks') {
    return { keys: [{ ...(await exportJWK(own.publicKey)), kid: own.kid, alg: 'RS256', use: 'sig' }] };
  }
  if (path === '/me') return { sub: 'mallory', email: 'mallory@example.com' };
  const form = new URLSearchParams(body);
  if (form.get('client_secret') !== secret) return [401, { error: 'invalid_client' }];
  const { fault, nonce } = JSON.parse(form.get('code'));
  if (fault === 'silent') return undefined;
  if (fault === 'long') return { filler: 'x'.repeat(2 * 1024 * 1024) };
  if (fault === 'failing') return [503, { error: 'server_error' }];
  if (fault === 'no-token') return { access_token: accessToken, token_type: 'Bearer' };
  const access_token = fault === 'access-token' ? 'not\nfit' : accessToken;
  return { access_token, token_type: 'Bearer', id_token: await token(fault, nonce, issuer) };
}

const options = certificate ? { cert: readFileSync(certificate), key: readFileSync(certificateKey) } : {};
const server = (certificate ? https : http).createServer(options, async (request, response) => {
  let body = '';
  for await (const piece of request) body += piece;
  const issuer = `${certificate ? 'https' : 'http'}://localhost:${server.address().port}`;
  const said = await answer(request, body, issuer);
  if (!said) return; // never answers
  const [status, json] = Array.isArray(said) ? said : [200, said];
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(json));
});
server.listen(Number(port ?? 0), 'localhost', () => console.log(`ready ${server.address().port}`));
process.stdin.resume().on('end', () => process.exit(0));
