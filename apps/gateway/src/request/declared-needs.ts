import { Injectable, type OnModuleInit } from '@nestjs/common';
import { DiscoveryService } from '@nestjs/core';
import { undeclaredHandlers } from './needs.js';

/** Walks all controllers at start: a handler without a declared need is a hole in the fence, so the app does not start. */
@Injectable()
export class DeclaredNeeds implements OnModuleInit {
  constructor(private readonly discovery: DiscoveryService) {}

  onModuleInit(): void {
    const controllers = this.discovery
      .getControllers()
      .flatMap(({ metatype }) => (isClass(metatype) ? [metatype] : []));
    const undeclared = undeclaredHandlers(controllers);
    if (undeclared.length > 0) {
      throw new Error(`These handlers declare neither @Needs(...) nor @Public(): ${undeclared.join(', ')}.`);
    }
  }
}

function isClass(metatype: unknown): metatype is abstract new (...parameters: never[]) => object {
  return typeof metatype === 'function' && typeof metatype.prototype === 'object';
}
