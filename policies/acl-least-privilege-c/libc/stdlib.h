// What generated bindings and the policy need of a C library.
#ifndef LEAST_PRIVILEGE_STDLIB_H
#define LEAST_PRIVILEGE_STDLIB_H

#include <stddef.h>

void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *old, size_t size);
void free(void *block);
_Noreturn void abort(void);

#endif
