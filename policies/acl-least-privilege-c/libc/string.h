// What generated bindings, the policy and the compiler itself need of a C library.
#ifndef LEAST_PRIVILEGE_STRING_H
#define LEAST_PRIVILEGE_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t len);
void *memset(void *to, int byte, size_t len);
int memcmp(const void *left, const void *right, size_t len);
size_t strlen(const char *text);

#endif
