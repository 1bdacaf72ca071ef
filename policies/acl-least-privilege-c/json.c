#include "json.h"

bool refuse(Reader *reader, Text why) {
    reader->why = why;
    return false;
}

static bool is_no_json(Reader *reader) {
    return refuse(reader, text_of("it is no JSON"));
}

// jsmn overlooks a comma or a colon too many, or none between strings in a list. That does no harm:
// what comes here was read and written anew by the operator.
static int parse(Text text, jsmntok_t *tokens, int count) {
    jsmn_parser parser;
    jsmn_init(&parser);
    int found = jsmn_parse(&parser, (const char *)text.ptr, text.len, tokens, (unsigned)count);
    // A zero byte ends it early.
    return parser.pos == text.len ? found : JSMN_ERROR_INVAL;
}

bool open_json(Reader *reader) {
    int count = parse(reader->text, NULL, 0);
    if (count < 0) {
        return is_no_json(reader);
    }
    jsmntok_t *tokens = room((size_t)count, sizeof(jsmntok_t));
    if (parse(reader->text, tokens, count) != count) {
        return is_no_json(reader);
    }
    reader->next = tokens;
    reader->end = tokens + count;
    return true;
}

// NULL where another type stands. The sentence is that of the Rust SDK.
static const jsmntok_t *take(Reader *reader, jsmntype_t type) {
    if (reader->next == reader->end || reader->next->type != type) {
        refuse(reader, text_of("Invalid type"));
        return NULL;
    }
    return reader->next++;
}

bool take_object(Reader *reader, size_t *size) {
    const jsmntok_t *object = take(reader, JSMN_OBJECT);
    *size = object ? (size_t)object->size : 0;
    return object != NULL;
}

// To jsmn a name is a string that has its value in it, so that `wanted` is 1; otherwise it is 0.
static bool take_string(Reader *reader, int wanted, Text *string) {
    const jsmntok_t *token = take(reader, JSMN_STRING);
    if (!token) {
        return false;
    }
    if (token->size != wanted) {
        return is_no_json(reader);
    }
    Text written = {reader->text.ptr + token->start, (size_t)(token->end - token->start)};
    return unescape(written, string) || refuse(reader, text_of("a \\u escape is no character"));
}

bool take_name(Reader *reader, Text *name) {
    return take_string(reader, 1, name);
}

bool take_list(Reader *reader, Texts *list) {
    const jsmntok_t *token = take(reader, JSMN_ARRAY);
    if (!token) {
        return false;
    }
    size_t size = (size_t)token->size;
    *list = (Texts){room(size, sizeof(Text)), size};
    for (size_t i = 0; i < size; i++) {
        if (!take_string(reader, 0, &list->ptr[i])) {
            return false;
        }
    }
    return true;
}

bool close_json(Reader *reader) {
    return reader->next == reader->end || is_no_json(reader);
}
