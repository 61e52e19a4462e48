import assert from 'node:assert/strict';
import {after, before, test} from 'node:test';

import {createOpenAICompatible} from '@ai-sdk/openai-compatible';
import {embed, generateText, streamText} from 'ai';

import {startServer} from './server.mjs';

let server;
let provider;
let request;

before(async () => {
  server = await startServer();
  provider = createOpenAICompatible({name: 'cadre', baseURL: `${server.url}/v1`, includeUsage: true});
  request = {model: provider('cadre-s'), prompt: 'Tell me a story.', temperature: 0, maxOutputTokens: 24,
             maxRetries: 0};
});
after(async () => assert.equal(await server.stop(), 0));

test('text, whole and as a stream', async () => {
  const whole = await generateText(request);
  assert.ok(whole.text.length > 0);
  assert.ok(whole.usage.outputTokens > 0);
  const stream = streamText(request);
  let streamed = '';
  for await (const text of stream.textStream) streamed += text;
  assert.equal(streamed, whole.text);
  assert.equal((await stream.usage).outputTokens, whole.usage.outputTokens);
});

test('embeddings', async () => {
  const {embedding} = await embed({model: provider.textEmbeddingModel('cadre-s'), value: 'A cat.'});
  assert.ok(Math.abs(embedding.reduce((sum, x) => sum + x * x, 0) - 1) < 1e-4);
});

test('errors carry the status', async () => {
  await assert.rejects(generateText({...request, model: provider('gpt-4')}), (error) => error.statusCode === 404);
});
