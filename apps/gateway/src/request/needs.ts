import type { Need } from '@quorate/api';
import { SetMetadata } from '@nestjs/common';
import { PATH_METADATA } from '@nestjs/common/constants.js';
import { PATTERN_METADATA } from '@nestjs/microservices/constants.js';

const NEED_METADATA = 'quorate:need';

/** What a handler asks of its caller. `public`: nothing, on purpose. */
export type DeclaredNeed = Need | 'public';

/** Declares the right that a route or subject needs. The app refuses to start with a handler that declares nothing. */
export const Needs = (need: Need): MethodDecorator => SetMetadata(NEED_METADATA, need);

/** Declares that a route is open to everybody: health, metrics, the API's own description. */
export const Public = (): MethodDecorator => SetMetadata(NEED_METADATA, 'public' satisfies DeclaredNeed);

/** What this handler declared; undefined when it declared nothing. */
export function declaredNeed(handler: object): DeclaredNeed | undefined {
  const need: DeclaredNeed | undefined = Reflect.getMetadata(NEED_METADATA, handler);
  return need;
}

/** Names of the handlers (routes and subjects) of these controllers that declare no need. */
export function undeclaredHandlers(
  controllers: readonly (abstract new (...parameters: never[]) => object)[],
): string[] {
  const found: string[] = [];
  for (const controller of controllers) {
    for (const [method, handler] of methodsOf(controller.prototype)) {
      const isRouted =
        Reflect.hasMetadata(PATH_METADATA, handler) || Reflect.hasMetadata(PATTERN_METADATA, handler);
      if (isRouted && declaredNeed(handler) === undefined) {
        found.push(`${controller.name}.${method}`);
      }
    }
  }
  return found;
}

/** Own and inherited methods: a handler inherited from a base class is routed too. */
function methodsOf(prototype: object): Map<string, object> {
  const methods = new Map<string, object>();
  for (
    let level = prototype;
    level !== Object.prototype && level !== null;
    level = Object.getPrototypeOf(level)
  ) {
    for (const name of Object.getOwnPropertyNames(level)) {
      const value: unknown = Object.getOwnPropertyDescriptor(level, name)?.value;
      if (name !== 'constructor' && typeof value === 'function' && !methods.has(name)) {
        methods.set(name, value);
      }
    }
  }
  return methods;
}
