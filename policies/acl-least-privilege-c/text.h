// Strings of the contract: bytes with a length, and no zero behind them.
#ifndef LEAST_PRIVILEGE_TEXT_H
#define LEAST_PRIVILEGE_TEXT_H

#include "acl_policy.h"

// Generated names carry the world; there is only one here.
typedef acl_policy_string_t Text;
typedef acl_policy_list_string_t Texts;

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

// Memory for this call, all zeros; without any left, the call ends here.
void *room(size_t count, size_t size);

Text text_of(const char *word);

// Below, equal to or above zero. By bytes: the order that the lists of the contract are in.
int compare(Text left, Text right);

// One behind the other.
Text join(const Text *parts, size_t count);
#define JOIN(...) join((Text[]){__VA_ARGS__}, LENGTH(((Text[]){__VA_ARGS__})))

#endif
