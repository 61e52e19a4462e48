// Tool calls and schemas with a model that knows nothing.
import assert from 'node:assert/strict';
import {after, before, test} from 'node:test';

import Anthropic from '@anthropic-ai/sdk';
import {createOpenAICompatible} from '@ai-sdk/openai-compatible';
import {generateObject, generateText, tool} from 'ai';
import OpenAI from 'openai';
import {zodResponseFormat} from 'openai/helpers/zod';
import {z} from 'zod';

import {makeToolModel, startServer} from './server.mjs';

const model = 'random';
const messages = [{role: 'user', content: 'What is the weather in Rome?'}];
const schema = {
  type: 'object',
  properties: {city: {type: 'string', enum: ['Rome', 'Paris']}, celsius: {type: 'boolean'}},
  required: ['city', 'celsius'],
  additionalProperties: false,
};
const shape = z.object({city: z.enum(['Rome', 'Paris']), celsius: z.boolean()});

let random;
let server;
let openai;
let anthropic;
let provider;

before(async () => {
  random = makeToolModel();
  server = await startServer(random.folder);
  openai = new OpenAI({baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0});
  anthropic = new Anthropic({baseURL: server.url, apiKey: 'none', maxRetries: 0});
  provider = createOpenAICompatible(
      {name: 'cadre', baseURL: `${server.url}/v1`, supportsStructuredOutputs: true});
});
after(async () => {
  assert.equal(await server.stop(), 0);
  random.remove();
});

test('openai: a schema is kept to', async () => {
  const answer = await openai.chat.completions.parse(
      {model, messages, max_tokens: 1000, response_format: zodResponseFormat(shape, 'weather')});
  shape.parse(answer.choices[0].message.parsed);
  const response = await openai.responses.create(
      {model, input: 'Weather?', text: {format: {type: 'json_schema', name: 'weather', schema, strict: true}}});
  shape.parse(JSON.parse(response.output_text));
});

test('openai: an object is an object', async () => {
  const answer = await openai.chat.completions.create(
      {model, messages, seed: 1, max_tokens: 4000, response_format: {type: 'json_object'}});
  if (answer.choices[0].finish_reason === 'stop')
    assert.equal(typeof JSON.parse(answer.choices[0].message.content), 'object');
  else
    assert.ok(answer.choices[0].message.content.startsWith('{'));
});

const tools = [{type: 'function', function: {name: 'get_weather', parameters: schema}}];

test('openai: a required call comes with arguments of its schema, whole and streamed', async () => {
  const request = {model, messages, tools, tool_choice: 'required', parallel_tool_calls: false, seed: 3};
  const answer = await openai.chat.completions.create(request);
  const [choice] = answer.choices;
  assert.equal(choice.finish_reason, 'tool_calls');
  assert.equal(choice.message.tool_calls.length, 1);
  const [call] = choice.message.tool_calls;
  assert.equal(call.function.name, 'get_weather');
  shape.parse(JSON.parse(call.function.arguments));

  const streamed = await openai.chat.completions.stream(request).finalChatCompletion();
  assert.equal(streamed.choices[0].message.tool_calls[0].function.arguments, call.function.arguments);

  const next = await openai.chat.completions.create({
    model, max_tokens: 8, tools, tool_choice: 'none',
    messages: [...messages, choice.message, {role: 'tool', tool_call_id: call.id, content: 'Sunny.'}],
  });
  assert.equal(next.choices[0].message.tool_calls, undefined);
});

test('openai: responses call functions', async () => {
  const request = {model, input: 'Weather?', tool_choice: 'required', parallel_tool_calls: false,
                   tools: [{type: 'function', name: 'get_weather', parameters: schema, strict: true}]};
  const answer = await openai.responses.create(request);
  const call = answer.output.find((item) => item.type === 'function_call');
  assert.equal(call.name, 'get_weather');
  shape.parse(JSON.parse(call.arguments));
  const final = await openai.responses.stream(request).finalResponse();
  shape.parse(JSON.parse(final.output.find((item) => item.type === 'function_call').arguments));
});

test('anthropic: tool use', async () => {
  const request = {model, messages, max_tokens: 1000, tools: [{name: 'get_weather', input_schema: schema}],
                   tool_choice: {type: 'tool', name: 'get_weather', disable_parallel_tool_use: true}};
  const answer = await anthropic.messages.create(request);
  assert.equal(answer.stop_reason, 'tool_use');
  const call = answer.content.find((block) => block.type === 'tool_use');
  assert.equal(call.name, 'get_weather');
  shape.parse(call.input);
  const streamed = await anthropic.messages.stream(request).finalMessage();
  shape.parse(streamed.content.find((block) => block.type === 'tool_use').input);
});

test('ai: objects and tools', async () => {
  const {object} = await generateObject({model: provider(model), schema: shape, prompt: 'Weather?', maxRetries: 0});
  shape.parse(object);
  const weather = tool({description: 'The weather.', inputSchema: shape});
  const answer = await generateText(
      {model: provider(model), tools: {weather}, toolChoice: 'required', prompt: 'Weather?', maxRetries: 0});
  assert.equal(answer.toolCalls[0].toolName, 'weather');
  shape.parse(answer.toolCalls[0].input);
});

test('what a schema asks and nobody can do is refused with its path', async () => {
  await assert.rejects(
      openai.chat.completions.create({model, messages, tools: [
        {type: 'function', function: {name: 'f', parameters: {type: 'object', properties: {x: {type: 'nothing'}}}}},
      ]}),
      (error) => error instanceof OpenAI.BadRequestError && error.message.includes('properties.x'));
});
