import { Controller, Get } from '@nestjs/common';
import { MessagePattern } from '@nestjs/microservices';
import { QuorateError, hashToken } from '@quorate/api';
import { describe, expect, it } from 'vitest';
import { startTestGateway } from '../test-gateway.testing.js';
import { admit } from './bearer.guard.js';
import { Needs, Public, undeclaredHandlers } from './needs.js';

class UndeclaredController {
  open(): void {}
  guarded(): void {}
  forgotten(): void {}
  forgottenSubject(): void {}
  notRouted(): void {}
}

/** Decorators by hand: test files are outside of the project that turns their syntax on. */
function decorate(method: keyof UndeclaredController, ...decorators: MethodDecorator[]): void {
  const descriptor = Object.getOwnPropertyDescriptor(UndeclaredController.prototype, method);
  for (const decorator of decorators) {
    decorator(UndeclaredController.prototype, method, descriptor ?? {});
  }
}
Controller('undeclared')(UndeclaredController);
decorate('open', Get('open'), Public());
decorate('guarded', Get('guarded'), Needs('entries:read'));
decorate('forgotten', Get('forgotten'));
decorate('forgottenSubject', MessagePattern('forgotten-subject'));

class InheritingController extends UndeclaredController {}

describe('declared needs', () => {
  it('finds routes and subjects that declare nothing, inherited ones too', () => {
    expect(undeclaredHandlers([UndeclaredController, InheritingController])).toEqual([
      'UndeclaredController.forgotten',
      'UndeclaredController.forgottenSubject',
      'InheritingController.forgotten',
      'InheritingController.forgottenSubject',
    ]);
  });

  it('keeps the app from starting', async () => {
    await expect(startTestGateway({}, [UndeclaredController])).rejects.toThrow(
      /UndeclaredController\.forgotten/,
    );
  });
});

describe('admit', () => {
  const hash = hashToken('secret');
  const codeOf = (act: () => void): string | null => {
    try {
      act();
      return null;
    } catch (error) {
      return error instanceof QuorateError ? error.code : 'another error';
    }
  };

  it('fails closed', () => {
    expect(codeOf(() => admit(undefined, 'secret', hash))).toBe('FORBIDDEN');
    expect(codeOf(() => admit('entries:read', null, hash))).toBe('UNAUTHENTICATED');
    expect(codeOf(() => admit('entries:read', '', hash))).toBe('UNAUTHENTICATED');
    expect(codeOf(() => admit('entries:read', 'other', hash))).toBe('UNAUTHENTICATED');
    expect(codeOf(() => admit('entries:read', `quorate_${'a'.repeat(42)}`, hash))).toBe('UNAUTHENTICATED');
    expect(codeOf(() => admit('entries:read', 'secret', 'not a hash'))).toBe('UNAUTHENTICATED');
  });

  it('lets the admin, what has the form of a token, and public handlers through', () => {
    expect(codeOf(() => admit('entries:read', `quorate_${'a'.repeat(43)}`, hash))).toBeNull();
    expect(codeOf(() => admit('entries:read', `quorate_${'a'.repeat(43)}`, 'not a hash'))).toBeNull();
    expect(codeOf(() => admit('entries:read', 'secret', hash))).toBeNull();
    expect(codeOf(() => admit('public', null, hash))).toBeNull();
  });
});
