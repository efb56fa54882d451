import { tokenMatches, type Need } from '@quorate/api';
import type { Store } from './store.js';

/** Who may have what this gateway answers by itself. The store knows every token; by itself a gateway knows the admin's only. */
export class LocalAccess {
  constructor(
    private readonly adminTokenHash: string,
    private readonly store: Pick<Store, 'caller'>,
  ) {}

  /** For what is not asked of the store, and not of the view either, which judges for itself. Throws UNAUTHENTICATED or FORBIDDEN, or why the store cannot tell. */
  async require(token: string, need: Need): Promise<void> {
    if (!this.#isAdmin(token)) {
      await this.store.caller(token, need);
    }
  }

  #isAdmin(token: string): boolean {
    return tokenMatches(this.adminTokenHash, token);
  }
}
