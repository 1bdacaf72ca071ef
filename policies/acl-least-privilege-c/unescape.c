#include "json.h"
#include <string.h>

// What is being unescaped: each escape is longer than what it means, so the same length is enough.
typedef struct {
    Text from;
    size_t at;
    Text to;
} Escaped;

static void put(Escaped *text, uint32_t byte) {
    text->to.ptr[text->to.len++] = (uint8_t)byte;
}

static void put_utf8(Escaped *text, uint32_t code) {
    if (code < 0x80) {
        put(text, code);
        return;
    }
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const uint8_t FIRST[] = {0, 0xc0, 0xe0, 0xf0};
    put(text, FIRST[more] | code >> 6 * more);
    while (more-- > 0) {
        put(text, 0x80 | (code >> 6 * more & 0x3f));
    }
}

// The four digits behind \u.
static bool take_unit(Escaped *text, uint32_t *unit) {
    *unit = 0;
    for (int i = 0; i < 4; i++) {
        if (text->at == text->from.len) {
            return false;
        }
        uint32_t digit = text->from.ptr[text->at++];
        // jsmn has let hexadecimal digits through, and nothing else.
        *unit = *unit << 4 | (digit <= '9' ? digit - '0' : (digit & 7) + 9);
    }
    return true;
}

static bool take(Escaped *text, char byte) {
    bool there = text->at < text->from.len && text->from.ptr[text->at] == byte;
    text->at += there;
    return there;
}

// JSON writes a character beyond U+FFFF as two: a high half from D800 on, a low one from DC00 on.
static bool take_code(Escaped *text) {
    uint32_t code, low;
    if (!take_unit(text, &code)) {
        return false;
    }
    if (code >= 0xd800 && code < 0xe000) {
        bool pair = code < 0xdc00 && take(text, '\\') && take(text, 'u') && take_unit(text, &low);
        if (!pair || low < 0xdc00 || low >= 0xe000) {
            return false;
        }
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    put_utf8(text, code);
    return true;
}

static uint8_t simple(uint8_t letter) {
    static const char LETTERS[] = "bfnrt", MEANT[] = "\b\f\n\r\t";
    for (size_t i = 0; i < strlen(LETTERS); i++) {
        if (LETTERS[i] == letter) {
            return MEANT[i];
        }
    }
    // A quote, a slash or a backslash, which mean themselves.
    return letter;
}

bool unescape(Text written, Text *meant) {
    Escaped text = {.from = written, .to = {room(written.len, 1), 0}};
    while (text.at < written.len) {
        if (!take(&text, '\\')) {
            put(&text, written.ptr[text.at++]);
        } else if (!take(&text, 'u')) {
            put(&text, simple(written.ptr[text.at++]));
        } else if (!take_code(&text)) {
            return false;
        }
    }
    *meant = text.to;
    return true;
}
