import { authorize, QuorateError } from '@quorate/api';
import { Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { SECRETS, type Secrets } from '../configuration/secrets.js';
import { callerToken } from './caller.js';
import { declaredNeed, type DeclaredNeed } from './needs.js';

/**
 * May this request go on? Throws UNAUTHENTICATED or FORBIDDEN. It fails closed: a handler that declares nothing
 * admits nobody. The store decides again on its own for whatever it answers; for cached reads this is the decision.
 */
export function admit(need: DeclaredNeed | undefined, token: string | null, adminTokenHash: string): void {
  if (need === 'public') {
    return;
  }
  if (need === undefined) {
    throw new QuorateError('FORBIDDEN', 'This handler does not declare who may use it.');
  }
  const decision = authorize(adminTokenHash, token, need);
  if ('type' in decision) {
    throw QuorateError.from(decision);
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
