// What generated bindings, policy.c and the compiler itself need of a C library.
#ifndef FREEZE_STRING_H
#define FREEZE_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t len);
void *memset(void *to, int byte, size_t len);
int memcmp(const void *left, const void *right, size_t len);
size_t strlen(const char *text);

#endif
