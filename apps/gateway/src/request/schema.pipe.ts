import { Injectable, type ArgumentMetadata, type PipeTransform } from '@nestjs/common';
import { QuorateError, parseValue, type ErrorCode } from '@quorate/api';

type Schema = NonNullable<ArgumentMetadata['schema']>;

/**
 * Checks a value against a Standard Schema and returns what the schema made of it. Bytes are parsed as JSON first.
 * Throws INVALID_JSON or INVALID_REQUEST with the `field`.
 */
export async function validated(schema: Schema, value: unknown): Promise<unknown> {
  const result = await schema['~standard'].validate(value instanceof Uint8Array ? parseValue(value) : value);
  if (result.issues === undefined) {
    return result.value;
  }
  const [issue] = result.issues;
  const field = (issue?.path ?? [])
    .map((part) => String(typeof part === 'object' ? part.key : part))
    .join('.');
  const subject = field === '' ? 'The request' : field;
  throw new QuorateError(
    codeOf(field),
    `${subject}: ${issue?.message ?? 'not valid'}.`,
    field === '' ? {} : { field },
  );
}

/** Names and keys have codes of their own, wherever in a request they stand. */
function codeOf(field: string): ErrorCode {
  if (field === 'namespace') {
    return 'INVALID_NAMESPACE';
  }
  return field === 'key' ? 'INVALID_KEY' : 'INVALID_REQUEST';
}

/** The one pipe: `@Body({ schema })`, `@Query({ schema })` and `@Payload({ schema })` are checked, the rest passes. */
@Injectable()
export class SchemaPipe implements PipeTransform {
  transform(value: unknown, { schema }: ArgumentMetadata): unknown {
    return schema === undefined ? value : validated(schema, value);
  }
}
