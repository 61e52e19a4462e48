import assert from 'node:assert/strict';
import {after, before, test} from 'node:test';

import OpenAI from 'openai';

import {startServer} from './server.mjs';

let server;
let client;
const model = 'cadre-s';
const messages = [{role: 'user', content: 'Tell me a story.'}];
const greedy = {model, messages, temperature: 0, max_tokens: 24};

before(async () => {
  server = await startServer('--api-key', 'secret');
  client = new OpenAI({baseURL: `${server.url}/v1`, apiKey: 'secret', maxRetries: 0});
});
after(async () => assert.equal(await server.stop(), 0));

test('chat answers, and a stream adds up to the same text', async () => {
  const whole = await client.chat.completions.create(greedy);
  const text = whole.choices[0].message.content;
  assert.ok(text.length > 0);
  assert.ok(['stop', 'length'].includes(whole.choices[0].finish_reason));
  assert.equal(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens);

  let streamed = '';
  let usage = null;
  const stream = await client.chat.completions.create(
      {...greedy, stream: true, stream_options: {include_usage: true}});
  for await (const chunk of stream) {
    streamed += chunk.choices[0]?.delta?.content ?? '';
    usage = chunk.usage ?? usage;
  }
  assert.equal(streamed, text);
  assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
});

test('the stream helper puts the message together', async () => {
  const runner = client.chat.completions.stream(greedy);
  const final = await runner.finalChatCompletion();
  assert.ok(final.choices[0].message.content.length > 0);
});

test('a seed repeats a sampled answer, and choices differ', async () => {
  const ask = (seed) => client.chat.completions.create({...greedy, temperature: 1, n: 2, seed});
  const [a, b] = [await ask(5), await ask(5)];
  const texts = (answer) => answer.choices.map((choice) => choice.message.content);
  assert.deepEqual(texts(a), texts(b));
  assert.notEqual(a.choices[0].message.content, a.choices[1].message.content);
});

test('log-probabilities spell out the answer', async () => {
  const answer = await client.chat.completions.create({...greedy, logprobs: true, top_logprobs: 3});
  const tokens = answer.choices[0].logprobs.content;
  assert.equal(tokens.map((token) => token.token).join(''), answer.choices[0].message.content);
  for (const token of tokens) {
    assert.equal(token.top_logprobs.length, 3);
    assert.ok(token.logprob <= 0);
    assert.equal(token.top_logprobs[0].token, token.token);  // greedy
  }
});

test('routing comes with each token', async () => {
  const answer = await client.chat.completions.create({...greedy, cadre: {routing: true, experts: 2}});
  const routing = answer.choices[0].cadre.routing;
  assert.ok(routing.length > 0);
  for (const token of routing)
    for (const layer of token.layers) {
      assert.equal(layer.experts.length, 2);
      assert.equal(layer.weights.length, 2);
    }
});

test('completions continue a text', async () => {
  const answer = await client.completions.create(
      {model, prompt: 'Once upon a time', temperature: 0, max_tokens: 8, echo: true});
  assert.ok(answer.choices[0].text.startsWith('Once upon a time'));
  assert.ok(answer.usage.completion_tokens <= 8);
});

test('responses, whole and as a stream', async () => {
  const request = {model, input: 'Tell me a story.', temperature: 0, max_output_tokens: 24};
  const whole = await client.responses.create(request);
  assert.ok(whole.output_text.length > 0);
  let streamed = '';
  let last = null;
  for await (const event of await client.responses.create({...request, stream: true})) {
    if (event.type === 'response.output_text.delta') streamed += event.delta;
    last = event;
  }
  assert.equal(streamed, whole.output_text);
  assert.ok(['response.completed', 'response.incomplete'].includes(last.type));
  const chat = await client.chat.completions.create(greedy);
  assert.equal(whole.output_text, chat.choices[0].message.content);
  const final = await client.responses.stream(request).finalResponse();
  assert.equal(final.output_text, whole.output_text);
});

test('embeddings have length 1, in both encodings', async () => {
  const input = ['A cat sleeps.', 'A dog runs.'];
  const answer = await client.embeddings.create({model, input});  // base64 by default
  const numbers = await client.embeddings.create({model, input, encoding_format: 'float'});
  assert.equal(answer.data.length, 2);
  for (const [i, {embedding}] of answer.data.entries()) {
    assert.ok(Math.abs(embedding.reduce((sum, x) => sum + x * x, 0) - 1) < 1e-4);
    assert.deepEqual(Array.from(embedding), numbers.data[i].embedding.map(Math.fround));
  }
});

test('models are listed', async () => {
  const ids = [];
  for await (const entry of client.models.list()) ids.push(entry.id);
  assert.deepEqual(ids, [model]);
  assert.equal((await client.models.retrieve(model)).id, model);
});

test('errors become the client\'s exceptions', async () => {
  await assert.rejects(client.chat.completions.create({...greedy, messages: []}),
                       (error) => error instanceof OpenAI.BadRequestError && error.param === 'messages');
  await assert.rejects(client.chat.completions.create({...greedy, temperature: 'hot'}),
                       (error) => error instanceof OpenAI.BadRequestError && error.param === 'temperature');
  await assert.rejects(client.chat.completions.create({...greedy, model: 'gpt-4'}), OpenAI.NotFoundError);
  const stranger = new OpenAI({baseURL: `${server.url}/v1`, apiKey: 'wrong', maxRetries: 0});
  await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
  const long = [{role: 'user', content: 'word '.repeat(40_000)}];
  await assert.rejects(client.chat.completions.create({...greedy, messages: long}),
                       (error) => error.code === 'context_length_exceeded');
});

test('an answer that is given up frees its place', async () => {
  const stream = await client.chat.completions.create({...greedy, max_tokens: 200, stream: true});
  for await (const chunk of stream) {
    assert.ok(chunk.id);
    stream.controller.abort();
    break;
  }
  const headers = {authorization: 'Bearer secret'};
  for (let i = 0; i < 100; ++i) {
    const stats = await (await fetch(`${server.url}/cadre/stats`, {headers})).json();
    if (stats.requests.running === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail('it still runs');
});
