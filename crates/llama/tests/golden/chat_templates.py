"""Chat templates in the manner of the models people use, in words of our own, and expressions of the language."""

CHATML = """{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""

LLAMA3_HEAD = "'<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n'"

TEMPLATES = {
    "chatml": CHATML,
    "chatml, lines": """{% for m in messages %}
    {% if loop.first and m.role != 'system' %}
<|im_start|>system
You help.<|im_end|>
    {% endif %}
<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}
{% if add_generation_prompt %}
<|im_start|>assistant
{% endif %}
""",
    "chatml, CRLF": CHATML.replace("{% for", "{# one turn\r\n after another #}{% for").replace("{% endfor %}", "{% endfor %}\r\n"),
    "chatml, CRLF in lines": "{% for m in messages %}\r\n<|{{ m.role }}|>\r\n{{ m.content }}\r\n{% endfor %}\r\nend\r\n",
    "chatml, generation": """{% for m in messages %}{% if m.role == 'assistant' %}<|im_start|>assistant
{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}

{% else %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}""",
    "generation, trimmed": """{%- for m in messages -%}
  {{- '[' ~ m.role ~ '] ' -}}
  {%- if m.role == 'assistant' -%}
    {%- generation -%}
      {{- m.content | trim -}}
      {{- eos_token -}}
    {%- endgeneration -%}
  {%- else -%}
    {{- m.content | trim -}}
  {%- endif -%}
{%- endfor -%}""",
    "smollm2": """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou are small.<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}""",
    "smollm3": """{%- if enable_thinking is not defined -%}{%- set enable_thinking = true -%}{%- endif -%}
{%- set mode = '/think' if enable_thinking else '/no_think' -%}
{{- '<|im_start|>system\\n' -}}
{%- if messages[0].role == 'system' -%}
  {%- set own = messages[0].content -%}
  {%- if '/no_think' in own -%}{%- set mode = '/no_think' -%}{%- endif -%}
  {%- set custom = own.replace('/no_think', '').replace('/think', '').rstrip() -%}
{%- endif -%}
{{- '## Facts\\n\\nCut-off: June 2025\\nToday: ' ~ strftime_now('%d %B %Y') ~ '\\nMode: ' ~ mode ~ '\\n\\n' -}}
{%- if custom -%}{{- custom + '\\n\\n' -}}{%- else -%}{{- 'You are a helper.\\n\\n' -}}{%- endif -%}
{%- if tools -%}
  {%- set ns = namespace(text='## Tools\\n\\n') -%}
  {%- for tool in tools -%}{%- set ns.text = ns.text ~ (tool | string) ~ '\\n' -%}{%- endfor -%}
  {{- ns.text -}}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- for message in messages -%}
  {%- set content = message.content if message.content is string else '' -%}
  {%- if message.role == 'user' -%}{{ '<|im_start|>user\\n' + content + '<|im_end|>\\n' }}
  {%- elif message.role == 'assistant' -%}
    {%- generation -%}
    {%- if mode == '/think' -%}{{ '<|im_start|>assistant\\n' + content.lstrip('\\n') + '<|im_end|>\\n' }}
    {%- else -%}{{ '<|im_start|>assistant\\n<think>\\n\\n</think>\\n' + content.lstrip('\\n') + '<|im_end|>\\n' }}{%- endif -%}
    {%- endgeneration -%}
  {%- elif message.role == 'tool' -%}{{ '<|im_start|>user\\n' + content + '<|im_end|>\\n' }}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' if mode == '/think' else '<|im_start|>assistant\\n<think>\\n\\n</think>\\n' }}{%- endif -%}""",
    "llama 2": """{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Turns must take turns') }}{% endif %}{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}""",
    "llama 3": """{% set loop_messages = messages %}{% for m in loop_messages %}{% set content = """ + LLAMA3_HEAD + """ + m['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}""",
    "llama 3.1": """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not tools_in_user_message is defined %}
    {%- set tools_in_user_message = true %}
{%- endif %}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Knowledge until: December 2023\\n" }}
{{- "Today: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- if tools_in_user_message and not tools is none %}
    {%- if messages | length != 0 %}
        {%- set first = messages[0]['content']|trim %}
        {%- set messages = messages[1:] %}
    {%- else %}
        {{- raise_exception("No first user turn") }}
    {%- endif %}
    {{- '<|start_header_id|>user<|end_header_id|>\\n\\n' -}}
    {{- "Answer with JSON for one of these functions.\\n\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
    {{- first + "<|eot_id|>"}}
{%- endif %}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("One call at a time") }}
        {%- endif %}
        {%- set call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- call.arguments | tojson }}
        {{- "}<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
    "llama 3.2, date": """{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{{- "Today: " + date_string + "\\n\\n" }}
{%- for m in messages %}
    {{- """ + LLAMA3_HEAD + """ + (m['content'] if m['content'] is string else '') | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
    "mistral v1": """{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}{% else %}{{ raise_exception('Only users and assistants') }}{% endif %}{% endfor %}""",
    "mistral v3": """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("user and assistant take turns") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}
                        {{- ", " }}
                    {%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}
                    {{- ", " }}
                {%- else %}
                    {{- "]" }}
                {%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {%- if not tool_call.id is defined or tool_call.id|length != 9 %}
                {{- raise_exception("ids have nine characters") }}
            {%- endif %}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {%- if not loop.last %}
                {{- ", " }}
            {%- else %}
                {{- "]" + eos_token }}
            {%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- elif message["role"] == "tool_results" or message["role"] == "tool" %}
        {%- if message.content is defined and message.content.content is defined %}
            {%- set content = message.content.content %}
        {%- else %}
            {%- set content = message.content %}
        {%- endif %}
        {{- '[TOOL_RESULTS] {"content": ' + content|string + ", " }}
        {{- '"call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
    {%- else %}
        {{- raise_exception("an unknown role") }}
    {%- endif %}
{%- endfor %}
""",
    "mistral tekken": """{{- bos_token }}{%- for m in messages %}{%- if m.role == 'system' %}{{- '[SYSTEM_PROMPT]' + m.content + '[/SYSTEM_PROMPT]' }}{%- elif m.role == 'user' %}{%- if m.content is string %}{{- '[INST]' + m.content + '[/INST]' }}{%- else %}{{- '[INST]' }}{%- for block in m.content %}{%- if block['type'] == 'text' %}{{- block['text'] }}{%- elif block['type'] in ['image', 'image_url'] %}{{- '[IMG]' }}{%- else %}{{- raise_exception('Only text and pictures') }}{%- endif %}{%- endfor %}{{- '[/INST]' }}{%- endif %}{%- elif m.role == 'assistant' %}{{- m.content + eos_token }}{%- else %}{{- raise_exception('Unknown role: ' ~ m.role) }}{%- endif %}{%- endfor %}""",
    "ministral, yesterday": """{%- set today = strftime_now("%Y-%m-%d") %}
{%- set default = "Today is " + today + " (" + strftime_now("%A") + ")." %}
{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}{%- set default = messages[0]['content'].replace("{today}", today) %}{%- set rest = messages[1:] %}{%- else %}{%- set rest = messages %}{%- endif %}
{{- '[SYSTEM_PROMPT]' + default + '[/SYSTEM_PROMPT]' }}
{%- for m in rest %}{{- ('[INST]' ~ m.content ~ '[/INST]') if m.role == 'user' else (m.content ~ eos_token) }}{%- endfor %}""",
    "gemma 2": """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('There is no system role') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles take turns') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\\n'}}{% endif %}""",
    "gemma 3": """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '\\n\\n' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '\\n\\n' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Roles take turns") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '\\n' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content") }}
    {%- endif -%}
    {{ '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model\\n'}}
{%- endif -%}
""",
    "qwen 2.5": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You are made by us.' }}
    {%- endif %}
    {{- "\\n\\n# Functions\\n\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools>\\n\\n<tool_call>\\n{\\"name\\": <name>, \\"arguments\\": <object>}\\n</tool_call><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou are made by us.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}
            {{- '\\n' + message.content }}
        {%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}
                {%- set tool_call = tool_call.function %}
            {%- endif %}
            {{- '\\n<tool_call>\\n{"name": "' }}
            {{- tool_call.name }}
            {{- '", "arguments": ' }}
            {{- tool_call.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- message.content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
""",
    "qwen 3": """{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}""",
    "phi 3": """{% for message in messages %}{% if message['role'] == 'system' %}{{'<|system|>\\n' + message['content'] + '<|end|>\\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\\n' + message['content'] + '<|end|>\\n'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>\\n' + message['content'] + '<|end|>\\n'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}""",
    "phi 3, single": """{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') %}{{'<|user|>' + '\n' + message['content'] + '<|end|>' + '\n' + '<|assistant|>' + '\n'}}{% elif (message['role'] == 'assistant') %}{{message['content'] + '<|end|>' + '\n'}}{% endif %}{% endfor %}""",
    "phi 4": """{% for message in messages %}{% if (message['role'] == 'system') %}{{'<|im_start|>system<|im_sep|>' + message['content'] + '<|im_end|>'}}{% elif (message['role'] == 'user') %}{{'<|im_start|>user<|im_sep|>' + message['content'] + '<|im_end|>'}}{% elif (message['role'] == 'assistant') %}{{'<|im_start|>assistant<|im_sep|>' + message['content'] + '<|im_end|>'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}""",
    "phi 4 mini": """{% for message in messages %}{% if message['role'] == 'system' and 'tools' in message and message['tools'] is not none %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|tool|>' + message['tools'] + '<|/tool|>' + '<|end|>' }}{% else %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}""",
    "vicuna": """{% set system = 'A talk between a person and a program.' %}{% if messages[0].role == 'system' %}{% set system = messages[0].content %}{% set messages = messages[1:] %}{% endif %}{{ system }} {% for m in messages %}{% if m.role == 'user' %}USER: {{ m.content.strip() }} {% else %}ASSISTANT: {{ m.content.strip() }}{{ eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}""",
    "zephyr": """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}""",
    "granite": """{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set system_message = "Knowledge until: April 2024.\nToday: " + strftime_now('%B %d, %Y') + ".\nYou are a model." %}
    {%- if tools and documents %}
        {%- set system_message = system_message + " With tools and papers." %}
    {%- elif tools %}
        {%- set system_message = system_message + " With tools." %}
    {%- elif documents %}
        {%- set system_message = system_message + " With papers." %}
    {%- endif %}
    {%- set loop_messages = messages %}
{%- endif %}
{{- '<|start_of_role|>system<|end_of_role|>' + system_message + '<|end_of_text|>\n' }}
{%- if tools %}
    {{- '<|start_of_role|>tools<|end_of_role|>' }}
    {{- tools | tojson(indent=4) }}
    {{- '<|end_of_text|>\n' }}
{%- endif %}
{%- if documents %}
    {{- '<|start_of_role|>documents<|end_of_role|>' }}
    {%- for document in documents %}
        {{- 'Paper ' + loop.index0 | string + '\n' }}
        {{- document['text'] }}
        {%- if not loop.last %}
            {{- '\n\n'}}
        {%- else %}
            {{- '<|end_of_text|>\n' }}
        {%- endif %}
    {%- endfor %}
{%- endif %}
{%- for message in loop_messages %}
    {{- '<|start_of_role|>' + message['role'] + '<|end_of_role|>' + message['content'] + '<|end_of_text|>\n' }}
    {%- if loop.last and add_generation_prompt %}
        {{- '<|start_of_role|>assistant' }}
            {%- if controls %}
                {{- ' ' + controls | tojson()}}
            {%- endif %}
        {{- '<|end_of_role|>' }}
    {%- endif %}
{%- endfor %}""",
    "deepseek r1": """{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, is_tool=false, is_output_first=true, system_prompt='') %}{%- for message in messages %}{%- if message['role'] == 'system' %}{% set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}{{bos_token}}{{ns.system_prompt}}{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{'<|User|>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is not none %}{%- if ns.is_tool %}{{'<|tool_end|>' + message['content'] + '<|end|>'}}{%- set ns.is_tool = false -%}{%- else %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<|Assistant|>' + content + '<|end|>'}}{%- endif %}{%- endif %}{%- if message['role'] == 'tool' %}{%- set ns.is_tool = true -%}{{'<|tool_begin|>' + message['content']}}{%- endif %}{%- endfor -%}{% if ns.is_tool %}{{'<|tool_end|>'}}{% endif %}{% if add_generation_prompt and not ns.is_tool %}{{'<|Assistant|><think>\\n'}}{% endif %}""",
    "deepseek": """{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ 'User: ' + message['content'] + '\n\n' }}{% elif message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] + eos_token }}{% elif message['role'] == 'system' %}{{ message['content'] + '\n\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}""",
    "command-r": """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% elif false == true %}{% set loop_messages = messages %}{% set system_message = 'You command.' %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% if system_message != false %}{{ '<|START|><|SYSTEM|>' + system_message + '<|END|>' }}{% endif %}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles take turns') }}{% endif %}{% set content = message['content'] %}{% if message['role'] == 'user' %}{{ '<|START|><|USER|>' + content.strip() + '<|END|>' }}{% elif message['role'] == 'assistant' %}{{ '<|START|><|BOT|>'  + content.strip() + '<|END|>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|START|><|BOT|>' }}{% endif %}""",
    "command-r, tools": """{%- macro json_to_python_type(spec) %}
{%- set names = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"} %}
{%- if spec.type in names %}
{{- names[spec.type] }}
{%- elif spec.type == "array" %}
{{- "List[" + json_to_python_type(spec['items']) + "]" }}
{%- elif spec.type is iterable and spec.type is not string %}
{{- "Union[" + spec.type | join(",") + "]" }}
{%- else %}
{{- "Any" }}
{%- endif %}
{%- endmacro %}
{{- bos_token }}
{%- for tool in tools or [] %}
{%- if loop.index0 != 0 %}
{{- '\\n\\n' }}
{%- endif %}
{{- '```python\\ndef ' + tool.function.name + '(' }}
{%- for name, fields in tool.function.parameters.properties.items() %}
{%- if loop.index0 != 0 %}
{{- ', ' }}
{%- endif %}
{{- name + ': ' }}
{%- if not name in tool.function.parameters.required %}
{{- 'Optional[' + json_to_python_type(fields) + '] = None' }}
{%- else %}
{{- json_to_python_type(fields) }}
{%- endif %}
{%- endfor %}
{{- '):\\n    \\"\\"\\"' + tool.function.description | indent(4) + '\\"\\"\\"\\n```' }}
{%- endfor %}
{%- for m in messages %}{{- '<|' ~ m.role | upper ~ '|>' ~ (m.content if m.content is string else m.content | map(attribute='text') | join('')) }}{%- endfor %}""",
    "falcon": """{% for message in messages %}{% if not loop.first %}{{ '\n' }}{% endif %}{% if message['role'] == 'system' %}{{ 'System: ' }}{% elif message['role'] == 'user' %}{{ 'User: ' }}{% elif message['role'] == 'assistant' %}{{ 'Falcon: ' }}{% endif %}{{ message['content'] }}{% endfor %}{% if add_generation_prompt %}{{ '\n' + 'Falcon:' }}{% endif %}""",
    "falcon, instruct": """{% for message in messages %}{% if not loop.first %}{{ '\n' }}{% endif %}{{ message['role'].capitalize() + ': ' }}{{ message['content'].strip().replace('\r\n', '\n').replace('\n\n', '\n') }}{% endfor %}{% if add_generation_prompt %}{{ '\n' }}Assistant:{% endif %}""",
    "openchat": """{{ bos_token }}{% for message in messages %}{{ 'Expert ' + message['role'].title() + ': ' + message['content'] + '<|end_of_turn|>'}}{% endfor %}{% if add_generation_prompt %}{{ 'Expert Assistant:' }}{% endif %}""",
    "alpaca": """{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'].strip() + '\n\n' }}{% endif %}{% for message in messages %}{% if message['role'] == 'user' %}{{ '### Instruction:\n' + message['content'].strip() }}{% if not loop.last %}{{ '\n\n' }}{% endif %}{% elif message['role'] == 'assistant' %}{{ '### Response:\n' + message['content'].strip() }}{% if not loop.last %}{{ '\n\n' }}{% endif %}{% endif %}{% endfor %}{% if add_generation_prompt and messages[-1]['role'] != 'assistant' %}{{ '\n\n### Response:' }}{% endif %}""",
    "yi": """{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% if messages[0]['role'] == 'system' %}{% set system_message = messages[0]['content'] %}{% endif %}{% if system_message is defined %}{{ system_message }}{% endif %}{% for message in messages %}{% set content = message['content'] %}{% if message['role'] == 'user' %}{{ '<|im_start|>user\\n' + content + '<|im_end|>\\n<|im_start|>assistant\\n' }}{% elif message['role'] == 'assistant' %}{{ content + '<|im_end|>' + '\\n' }}{% endif %}{% endfor %}""",
    "olmo": """{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}{{ '<|system|>\n' + message['content'] + '\n' }}{% elif message['role'] == 'user' %}{{ '<|user|>\n' + message['content'] + '\n' }}{% elif message['role'] == 'assistant' %}{% if not loop.last %}{{ '<|assistant|>\n'  + message['content'] + eos_token + '\n' }}{% else %}{{ '<|assistant|>\n'  + message['content'] + eos_token }}{% endif %}{% endif %}{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}{% endfor %}""",
    "starchat": """{% for m in messages %}{{ '<|%s|>\\n%s<|end|>\\n' % (m.role, m.content) }}{% endfor %}{% if add_generation_prompt %}{{ '<|%s|>' % 'assistant' }}{% endif %}""",
    "hermes, tools": """{%- macro spell(value, depth=0) -%}
{%- if value is mapping -%}
{%- for key, inner in value.items() -%}{{ '\\n' + '  ' * depth + key + ':' }}{{ spell(inner, depth + 1) }}{%- endfor -%}
{%- elif value is sequence and value is not string -%}
{%- for inner in value -%}{{ '\\n' + '  ' * depth + '-' }}{{ spell(inner, depth + 1) }}{%- endfor -%}
{%- else -%}{{ ' ' ~ value }}{%- endif -%}
{%- endmacro -%}
<tools>{% for tool in tools or [] %}{{ spell(tool.function) }}{% endfor %}</tools>
{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}{% if m.tool_calls %}{% for call in m.tool_calls %}<tool_call>{{ call.function }}</tool_call>{% endfor %}{% endif %}<|im_end|>
{% endfor %}""",
    "nemotron": """{%- for m in messages if m.role in ['user', 'assistant'] -%}{{ ('<extra_1>User' if m.role == 'user' else '<extra_1>Assistant') + '\\n' + m.content + '\\n' }}{%- else -%}{{ 'empty' }}{%- endfor -%}{%- if add_generation_prompt -%}<extra_1>Assistant{{ '\\n' }}{%- endif -%}""",
    "exaone": """{% for message in messages %}{% if loop.first and message['role'] != 'system' %}{{ '[|system|][|endofturn|]\\n' }}{% endif %}{{ '[|' + message['role'] + '|]' + message['content'] }}{% if message['role'] == 'user' %}{{ '\\n' }}{% else %}{{ '[|endofturn|]\\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '[|assistant|]' }}{% endif %}""",
    "internlm": """{{ bos_token }}{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}""",
    "solar": """{% for message in messages %}{% if message['role'] == 'system' %}{% if message['content']%}{{'### System:\n' + message['content']+'\n\n'}}{% endif %}{% elif message['role'] == 'user' %}{{'### User:\n' + message['content']+'\n\n'}}{% elif message['role'] == 'assistant' %}{{'### Assistant:\n'  + message['content']}}{% endif %}{% if loop.last and add_generation_prompt %}{{ '### Assistant:\n' }}{% endif %}{% endfor %}""",
    "tinyllama": """{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + eos_token }}\n{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' + message['content'] + eos_token }}\n{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}""",
    "stablelm": """{% for message in messages %}{% if (message['role'] == 'user') %}{{'<|user|>' + '\n' + message['content'] + '<|endoftext|>\n'}}{% elif (message['role'] == 'assistant') %}{{'<|assistant|>' + '\n' + message['content'] + '<|endoftext|>\n'}}{% endif %}{% if loop.last and add_generation_prompt %}{{ '<|assistant|>' + '\n' }}{% endif %}{% endfor %}""",
    "glm 4": """[gMASK]<sop>{% if tools %}<|system|>\nTools:{% for tool in tools %}\n\n## {{ tool['function']['name'] }}\n\n{{ tool['function'] | tojson(indent=4) }}{% endfor %}{% endif %}{% for item in messages %}{% if item['tool_calls'] %}{% for call in item['tool_calls'] %}<|assistant|>{{ call['function']['name'] }}\n{{ call['function']['arguments'] | tojson(ensure_ascii=true) }}{% endfor %}{% else %}<|{{ 'observation' if item['role'] == 'tool' else item['role'] }}|>\n{{ item['content'] }}{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}""",
    "hunyuan": """{% set context = {'has_head': true} %}{% for message in messages %}{% set content = message['content'] %}{% if loop.index0 == 0 %}{% if content == '' %}{% set content = '<|startoftext|>' %}{% elif message['role'] == 'system' %}{% set content = '<|startoftext|>' + content + '<|extra_4|>' %}{% else %}{% set content = '<|startoftext|>' + content %}{% endif %}{% endif %}{% if message['role'] == 'user' %}{% if loop.index0 == 1 and context.has_head %}{% set content = content + '<|extra_0|>' %}{% else %}{% set content = content ~ '<|extra_0|>' %}{% endif %}{% elif message['role'] == 'assistant' %}{% set content = content + '<|eos|>' %}{% endif %}{{ content }}{% endfor %}""",
    "gpt-oss": """{%- macro render_schema(param) -%}{%- if param.type == "string" -%}{{- "string" -}}{%- elif param.type in ["number", "integer"] -%}{{- "number" -}}{%- elif param.type == "object" -%}{{- "{\\n" -}}{%- for name, inner in param.properties.items() -%}{%- if inner.description -%}{{- "// " + inner.description + "\\n" -}}{%- endif -%}{{- name -}}{%- if name not in (param.required or []) -%}{{- "?" -}}{%- endif -%}{{- ": " -}}{{ render_schema(inner) }}{%- if inner.default is defined -%}{{- ", // default: " + inner.default|tojson -}}{%- endif -%}{{- ",\\n" -}}{%- endfor -%}{{- "}" -}}{%- else -%}{{- "any" -}}{%- endif -%}{%- endmacro -%}
<|start|>system<|message|>Day: {{ strftime_now("%Y-%m-%d") }}
{% if tools -%}{% for tool in tools %}type {{ tool.function.name }} = (_: {{ render_schema(tool.function.parameters) }}) => any;
{% endfor %}{%- endif -%}<|end|>
{%- for message in messages -%}
    {%- if message.role == 'assistant' -%}
        {%- if "tool_calls" in message -%}{{- "<|start|>assistant to=" + message.tool_calls[0].function.name + "<|message|>" + message.tool_calls[0].function.arguments|tojson + "<|call|>" -}}
        {%- elif loop.last and not add_generation_prompt -%}{{- "<|start|>assistant<|channel|>final<|message|>" + message.content + "<|return|>" -}}
        {%- else -%}{{- "<|start|>assistant<|channel|>final<|message|>" + message.content + "<|end|>" -}}{%- endif -%}
    {%- elif message.role == 'tool' -%}{{- "<|start|>" + message.name + "<|message|>" + message.content|tojson + "<|end|>" -}}
    {%- elif message.role == 'user' -%}{{- "<|start|>user<|message|>" + message.content + "<|end|>" -}}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|start|>assistant{%- endif -%}""",
    "break": """{% for m in messages %}{% if m.role == 'assistant' %}{% break %}{% endif %}{{ m.role }}: {{ m.content }}\n{% endfor %}.""",
    "continue": """{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}{{ loop.index }} {{ m.role }}: {{ m.content }}\n{% endfor %}.""",
    "everything printed": "{{ messages }}\n{{ tools }}\n{{ documents }}\n{{ add_generation_prompt }} {{ 1.0 }} {{ none }}",
    "tojson of everything": "{{ messages | tojson }}\n{{ tools | tojson(indent=2) }}\n{{ messages | tojson(ensure_ascii=true) }}\n{{ messages | tojson(separators=(',', ':')) }}\n{{ messages | tojson(indent=1, sort_keys=true) }}",
    "call block": """{% macro turn(role) %}<|{{ role }}|>{{ caller() }}<|end|>{% endmacro %}{% for m in messages %}{% call turn(m.role) %}{{ m.content }}{% endcall %}{% endfor %}""",
    "filter block": """{% for m in messages %}{% filter upper %}{{ m.role }}{% endfilter %}: {{ m.content }}\n{% endfor %}""",
    "set block": """{% for m in messages %}{% set turn %}{{ m.role }}={{ m.content }}{% endset %}[{{ turn | trim }}]{% endfor %}""",
    "groups": """{% for role, turns in messages | groupby('role') %}{{ role }}: {{ turns | length }}\n{% endfor %}{{ messages | map(attribute='role') | unique | join(', ') }}""",
    "raw": """{% raw %}{{ not a value }} {% generation %}{% endraw %}{% for m in messages %}{{ m.content }}{% endfor %}""",
    "prefix methods": """{% for m in messages if m.content is string %}{{ m.content.removeprefix('What').removesuffix('?') }}|{{ m.content.partition(' ')[0] }}|{{ m.role.zfill(10) }}|{{ m.content | wordcount }}|{{ m.content | indent(2, true) }}|{{ m | attr('content') }}\n{% endfor %}""",
    "nested loops": """{% for m in messages %}{% set outer = loop %}{% for c in m.role %}{{ c }}{{ outer.index }}{% if not loop.last %}-{% endif %}{% endfor %}{{ loop.cycle('a', 'b') }} {{ loop.revindex }} {{ loop.length }} {{ loop.previtem.role if loop.previtem is defined else '' }}\n{% endfor %}""",
    "recursive": """{%- for item in [{'n': 'a', 'c': [{'n': 'b', 'c': []}, {'n': 'c', 'c': [{'n': 'd', 'c': []}]}]}] recursive -%}<{{ item.n }}{{ loop.depth }}>{{ loop(item.c) }}{%- endfor -%}{{ messages | length }}""",
    "ends of loops": """{% for m in messages %}{% for c in m.role %}{{ c }}{{ ',' if not loop.last }}{% endfor %}{% for c in m.items() %}{{ c[0] }}{{ ',' if not loop.last }}{% endfor %}{% for c in m.keys() %}{{ c }}{{ ',' if not loop.last }}{% endfor %}{% for c in m %}{{ c }}{{ ',' if not loop.last }}{% endfor %}
{% endfor %}{% for m in messages[1:] %}{{ m.role }}{{ ',' if not loop.last }}{% endfor %}{% for m in messages[::-1] %}{{ m.role }}{{ ',' if not loop.last }}{{ loop.length }}{% endfor %}{% for m in messages + messages %}{{ m.role }}{{ ',' if not loop.last }}{% endfor %}{% for m in messages | selectattr('role', 'eq', 'user') %}{{ m.role }}{{ ',' if not loop.last }}{% endfor %}{% for r in messages | map(attribute='role') %}{{ r }}{{ ',' if not loop.last }}{% endfor %}{% for i in range(3) %}{{ i }}{{ ',' if not loop.last }}{% endfor %}{% for m in nothing %}x{% else %}none{% endfor %}""",
    "loops over none": "{% for t in none %}x{% endfor %}y",
    "refuses": "{{ raise_exception('never') }}",
    "wrong": "{% for m in messages %}{{ m.content }}",
}

EXPRESSIONS = [
    "{{ " + text + " }}"
    for text in r"""
'%s and %d' % ('x', 3)
'%05.2f' % 3.14159
'%s' % messages[0].role | upper
'100%% of %s' % 'it'
'%r' % 'a'
'%x' % 255
'{}-{b}'.format(1, b='c')
'abc'.removeprefix('a')
'abc'.removesuffix('x')
'a=b=c'.partition('=')
'a=b=c'.rpartition('=') | list
'abc'.partition('z') | list
'42'.zfill(5)
'-42'.zfill(5)
'ab'.ljust(5, '.') + '|'
'ab'.rjust(5) + '|'
'ab'.center(5, '*')
'a'.center(4, '*')
'aB'.swapcase()
'über alles'.capitalize()
"they're o'clock x1y".title()
"they're o'clock x1y" | title
'hELLO wORLD' | capitalize
'äbc'.find('c')
'abc'.find('z')
'abcabc'.rfind('b')
'äbc'.index('c')
'abc'.index('z')
'aaa'.count('a')
''.isdigit()
'12'.isdigit()
'½'.isdigit()
''.isalpha()
'a1'.isalnum()
'aB'.islower()
'a1'.islower()
'12'.isupper()
' \t'.isspace()
'a,b,c'.split(',')
'a b  c '.split()
'a,b,c'.split(',', 1)
'a,b,c'.rsplit(',', 1)
'a\nb\r\nc'.splitlines()
'xxaxx'.strip('x')
' a '.lstrip() + '|'
'a-b'.replace('-', '+')
'aaa'.replace('a', 'b', 2)
', '.join(['a', 'b'])
'abc'.startswith('ab')
'abc'.startswith(('x', 'ab'))
'abc'.endswith('bc')
'abc'[1:]
'abc'[-1]
'abc'[::-1]
messages[0].role[:-1]
'héllo'[1:3]
'a' * 3
[1, 2] + [3]
[1, 'a', none, true, 1.5, "it's", 'q"']
{'a': [1, {'b': none}], 'c': "x\ny"}
{'a': 1}.items() | list
{'b': 1, 'a': 2} | dictsort
{'b': 1, 'a': 2}.keys() | list
{'a': 1}.get('b', 'z')
{'a': 1}.get('b')
dict(a=1, b='c')
[3, 1, 2] | sort
[3, 1, 2] | sort(reverse=true) | first
['b', 'A', 'c'] | sort
[1, 2, 3] | sum
[1, 2, 3] | max
[1, 1, 2] | unique | list
[1, 2, 3, 4] | batch(2) | list
'abc' | list
'abc' | length
'abc' | first
[1, 2, 3] | last
[1, 2, 3] | reverse | list
'abc' | reverse
range(3) | list
range(1, 7, 2) | list
7 // 2
7 % 3
7 / 2
6 / 2
2 ** 10
1e20
0.1 + 0.2
1e-7
100000.0
1.0 * 3
5 | string + 'x'
3.7 | int
'12' | int + 1
'x' | int
'1.5' | float
2.5 | round
2.567 | round(2)
-3 | abs
true and 'x'
'' or 'y'
not none
1 if false
1 if false else 2
none
undefined_thing
undefined_thing | default('d')
'' | default('d', true)
undefined_thing.attribute
undefined_thing is defined
none is none
'a' is string
[1] is iterable
'a' is iterable
'a' is sequence
{'a': 1} is sequence
{'a': 1} is mapping
1 is number
true is number
true is integer
1.0 is float
true is boolean
3 is odd
4 is divisibleby 2
'a' in 'abc'
1 in [1, 2]
'a' in {'a': 1}
'z' not in 'abc'
'a' is in ['a']
1 == 1.0
'1' == 1
[1] == [1]
1 < 2 < 3
'a' < 'b'
'a' ~ 1 ~ none ~ true ~ 1.5
'x' ~ messages[1].tool_calls
'x' + 1
1 + none
'x' + none
messages | length
messages | map(attribute='role') | list
messages | map(attribute='name', default='?') | join('|')
messages | selectattr('role', 'equalto', 'user') | list | length
messages | selectattr('tool_calls') | list | length
messages | rejectattr('role', 'eq', 'user') | map(attribute='role') | join
messages | selectattr('name', 'defined') | map(attribute='name') | list
['a', 'B'] | map('upper') | list
['a', '', 'b'] | select | list
[1, 2, 3, 4] | select('even') | list
[1, 2, 3] | reject('odd') | list
messages[-1].content
messages[0]['nothing']
messages[0].nothing is defined
messages[1].tool_calls[0].function.arguments
messages[1].tool_calls[0].function.arguments | tojson
messages[1].tool_calls[0].function | tojson(indent=2)
messages[0] | items | list
messages[0].items() | list | length
messages[0].get('role')
messages[0].copy() == messages[0]
tools | tojson
tools[0].function.parameters.properties | list
tools[0].function.description | tojson(ensure_ascii=true)
'é😀\x7f\x01"\\/' | tojson
'é😀' | tojson(ensure_ascii=true)
'a\u2028\u200b\u00a0b' | pprint
['é', '\u200b', '\x00', "'", "'\\""]
[1, [2, []], {}] | tojson(indent=2)
[1.0, 1e16, 1e-5, 2] | tojson
none | tojson
'<b>' | tojson
'<b>' | e
'<b>' | safe
'a\n\nb\n' | indent
'a\n\nb\n' | indent(2, true, true)
'a\nb' | indent(width='> ', first=true)
'a b-c d_e 1' | wordcount
' a ' | trim + '|'
'xax' | trim('x')
'a' | center(5) + '|'
'ABC' | lower
'abc' | upper
'a' | replace('a', 'b')
messages[0] | attr('role')
namespace(a=1) | attr('a')
strftime_now('%Y-%m-%d %H:%M:%S')
strftime_now('%-d %B %y, %a %j')
strftime_now('%d/%m/%Y %I %p %%')
strftime_now is defined
'abc' | truncate(2)
'a' | nosuchfilter
'abc'.nosuchmethod()
nosuchfunction(1)
[1, 2, 3][1:]
(1, 2)[0]
loop is defined
'a' 'b'
1_000
'x' if messages else 'y'
[] | first
[] | last is defined
'%s' % none
'%s' % [1]
'a,b' | split(',')
['a', 'b'] | join(', ') | upper
{'a': {'b': 1}}['a']['b']
messages | map('tojson') | first
messages | tojson | length
['x', 'y'] | join
[['a', 1], ['b', 2]] | map('first') | join
'abc'.encode()
messages.append(1)
messages[0].update({'a': 1})
messages[0].__class__
'{0:>5}'.format('a')
'a'.join('bcd')
'tab\tx'.expandtabs(4)
'{"a": 1}' | tojson
1 | tojson(indent=none)
true | string
[true, false] | string
{'a': true} | string
true | lower
none | default('x')
none | string
3 | float
'ab' < 'b'
[1, 2] < [1, 3]
'a' == none
-7 // 2
-7 % 3
7.5 // 2
{'a': 1}.items()
{'a': 1}.keys()
{'a': 1}.values()
messages[0].items() | tojson
'a b'.split() | tojson
3.5 | round
-2.5 | round
2.675 | round(2)
2.1 | round(0, 'ceil')
messages[0] | dictsort
'x' is lower
'%s' % (1,)
'%s %s' % ('a', messages[0].role | upper)
messages[1:] | length
messages[1:] | map(attribute='role') | list
messages[1:] | tojson
(messages + messages) | length
messages[0].role | list | tojson
""".strip("\n").split("\n")
]
