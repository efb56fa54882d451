// `node --import ./test/loader/register.mjs FILE.ts`: runs sources through the hooks of this folder.
// The variable SOURCE_MUTATION may hold one mutation as JSON.
import { register } from 'node:module';

const text = process.env.SOURCE_MUTATION;
register('./hooks.mjs', import.meta.url, { data: { mutation: text ? JSON.parse(text) : null } });
