#include "text.h"
#include <stdlib.h>
#include <string.h>

void *room(size_t count, size_t size) {
    void *block = calloc(count, size);
    if (!block) {
        abort();
    }
    return block;
}

Text text_of(const char *word) {
    Text text;
    acl_policy_string_set(&text, word);
    return text;
}

int compare(Text left, Text right) {
    size_t both = left.len < right.len ? left.len : right.len;
    int order = memcmp(left.ptr, right.ptr, both);
    return order != 0 ? order : (left.len > right.len) - (left.len < right.len);
}

Text join(const Text *parts, size_t count) {
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        len += parts[i].len;
    }
    Text all = {room(len, 1), 0};
    for (size_t i = 0; i < count; i++) {
        memcpy(all.ptr + all.len, parts[i].ptr, parts[i].len);
        all.len += parts[i].len;
    }
    return all;
}
