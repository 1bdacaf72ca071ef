// What generated bindings and policy.c need of a C library.
#ifndef FREEZE_STDLIB_H
#define FREEZE_STDLIB_H

#include <stddef.h>

void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *old, size_t size);
void free(void *block);
_Noreturn void abort(void);

#endif
