import { describe, expect, it } from 'vitest';
import { NEEDS } from './needs.js';
import { ERRORS } from './errors.js';
import { openApiDocument, ROUTES } from './openapi.js';

const document = JSON.parse(JSON.stringify(openApiDocument('0.1.0')));

describe('the OpenAPI document', () => {
  it('has an operation for each route, each with its own id', () => {
    const ids = ROUTES.map((route) => document.paths[route.path][route.method.toLowerCase()].operationId);
    expect(new Set(ids).size).toBe(ROUTES.length);
    expect(ids).toContain('putNamespacesNsEntriesKey');
  });

  it('needs a token everywhere but at health, metrics and itself', () => {
    const open = ROUTES.filter((route) => route.need === null).map((route) => route.path);
    expect(open).toEqual(['/healthz', '/readyz', '/metrics', '/openapi.json']);
    expect(document.paths['/v1/cluster'].get.security).toEqual([{ bearer: [] }]);
    expect(document.paths['/healthz'].get.security).toEqual([]);
  });

  it('uses every right and no other', () => {
    expect(new Set(ROUTES.flatMap(({ need }) => need ?? []))).toEqual(new Set(NEEDS));
  });

  it('names only statuses of the catalogue as problems', () => {
    const statuses = new Set(Object.values(ERRORS).map(({ status }) => status));
    for (const route of ROUTES) for (const status of route.problems) expect(statuses).toContain(status);
  });

  it('describes bodies and parameters from the schemas', () => {
    const put = document.paths['/v1/namespaces/{ns}'].put;
    expect(put.requestBody.content['application/json'].schema).toMatchObject({
      type: 'object',
      properties: { kind: { enum: ['strict', 'cached'] } },
      additionalProperties: false,
    });
    expect(put.parameters[0]).toMatchObject({ name: 'ns', in: 'path', required: true });
    expect(put.parameters[0].schema.pattern).toContain('[a-z0-9]');
    const list = document.paths['/v1/namespaces/{ns}/entries'].get;
    expect(list.parameters).toContainEqual(
      expect.objectContaining({
        name: 'limit',
        schema: { type: 'integer', minimum: 1, maximum: 1000, default: 100 },
      }),
    );
    const answer = list.responses['200'].content['application/json'].schema;
    expect(answer.properties.revision).toMatchObject({ type: 'integer', minimum: 0 });
    const problemSchema = document.components.schemas.Problem;
    expect(problemSchema.properties.code.enum).toEqual(Object.keys(ERRORS));
  });
});
