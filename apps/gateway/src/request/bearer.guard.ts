import { QuorateError, isAccessToken, tokenMatches } from '@quorate/api';
import { Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { SECRETS, type Secrets } from '../configuration/secrets.js';
import { callerToken } from './caller.js';
import { declaredNeed, type DeclaredNeed } from './needs.js';

/**
 * May this request go on to where it is decided? It fails closed: a handler that declares nothing admits nobody (FORBIDDEN), and neither does
 * what cannot be a token (UNAUTHENTICATED). Whether a token is known and has the right is decided by the store, for whatever it
 * answers; what this gateway answers by itself asks `LocalAccess` first.
 */
export function admit(need: DeclaredNeed | undefined, token: string | null, adminTokenHash: string): void {
  if (need === 'public') {
    return;
  }
  if (need === undefined) {
    throw new QuorateError('FORBIDDEN', 'This handler does not declare who may use it.');
  }
  if (token === null || token === '') {
    throw new QuorateError('UNAUTHENTICATED', 'The request carries no bearer token.');
  }
  if (!isAccessToken(token) && !tokenMatches(adminTokenHash, token)) {
    throw new QuorateError('UNAUTHENTICATED', 'The bearer token is not known.');
  }
}

/** The one guard, global for REST and NATS. The decision is `admit`. */
@Injectable()
export class BearerGuard implements CanActivate {
  constructor(@Inject(SECRETS) private readonly secrets: Secrets) {}

  canActivate(context: ExecutionContext): boolean {
    admit(declaredNeed(context.getHandler()), callerToken(context), this.secrets.adminTokenHash);
    return true;
  }
}
