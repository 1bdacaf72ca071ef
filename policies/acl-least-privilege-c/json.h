// Reads JSON whose shape is known, value by value in the order written. Nothing here calls itself,
// however deep a text is nested.
#ifndef LEAST_PRIVILEGE_JSON_H
#define LEAST_PRIVILEGE_JSON_H

#include "text.h"

#define JSMN_STATIC
#define JSMN_STRICT
// Each value knows what it is in; without, every comma is a search.
#define JSMN_PARENT_LINKS
#include <jsmn.h>

typedef struct {
    Text text;
    const jsmntok_t *next;
    const jsmntok_t *end;
    // Why it was refused.
    Text why;
} Reader;

// Each of these is false when it refuses.
bool refuse(Reader *reader, Text why);
bool open_json(Reader *reader);
bool take_object(Reader *reader, size_t *size);
bool take_name(Reader *reader, Text *name);
bool take_list(Reader *reader, Texts *list);
bool close_json(Reader *reader);

// What stands between the quotes of a string, without its escapes. False if one of them is half of
// a pair, which is no character.
bool unescape(Text written, Text *meant);

#endif
