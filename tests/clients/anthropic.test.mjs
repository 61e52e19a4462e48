import assert from 'node:assert/strict';
import {after, before, test} from 'node:test';

import Anthropic from '@anthropic-ai/sdk';

import {startServer} from './server.mjs';

let server;
let client;
const request = {
  model: 'cadre-s',
  max_tokens: 24,
  temperature: 0,
  messages: [{role: 'user', content: 'Tell me a story.'}],
};

before(async () => {
  server = await startServer('--api-key', 'secret');
  client = new Anthropic({baseURL: server.url, apiKey: 'secret', maxRetries: 0});
});
after(async () => assert.equal(await server.stop(), 0));

test('messages answer, and a stream adds up to the same text', async () => {
  const whole = await client.messages.create(request);
  assert.equal(whole.content[0].type, 'text');
  assert.ok(whole.content[0].text.length > 0);
  assert.ok(['end_turn', 'max_tokens'].includes(whole.stop_reason));
  assert.ok(whole.usage.output_tokens > 0);

  const stream = client.messages.stream(request);
  let streamed = '';
  stream.on('text', (text) => streamed += text);
  const final = await stream.finalMessage();
  assert.equal(streamed, whole.content[0].text);
  assert.deepEqual(final.content, whole.content);
  assert.equal(final.usage.output_tokens, whole.usage.output_tokens);
});

test('a stop sequence is named', async () => {
  const whole = await client.messages.create(request);
  const stop = whole.content[0].text.slice(4, 7);
  const cut = await client.messages.create({...request, stop_sequences: [stop]});
  assert.equal(cut.stop_reason, 'stop_sequence');
  assert.equal(cut.stop_sequence, stop);
  assert.equal(cut.content[0].text, whole.content[0].text.slice(0, whole.content[0].text.indexOf(stop)));
});

test('tokens are counted as the request itself counts them', async () => {
  const {max_tokens: unused, temperature: unused2, ...prompt} = request;
  const count = await client.messages.countTokens(prompt);
  const {usage} = await client.messages.create({...request, system: undefined});
  assert.equal(count.input_tokens, usage.input_tokens + usage.cache_read_input_tokens);
});

test('errors become the client\'s exceptions', async () => {
  await assert.rejects(client.messages.create({...request, messages: []}), Anthropic.BadRequestError);
  await assert.rejects(client.messages.create({...request, model: 'claude'}), Anthropic.NotFoundError);
  const stranger = new Anthropic({baseURL: server.url, apiKey: 'wrong', maxRetries: 0});
  await assert.rejects(stranger.messages.create(request), Anthropic.AuthenticationError);
});
