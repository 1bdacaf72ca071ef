// What stands beside the policy: {"users": {"cart": ["get", "set"]}, "everybody": ["echo"]}
#ifndef LEAST_PRIVILEGE_SETTINGS_H
#define LEAST_PRIVILEGE_SETTINGS_H

#include "text.h"

typedef struct {
    Text name;
    Texts commands;
} Listed;

typedef struct {
    struct {
        Listed *ptr;
        size_t len;
    } users;
    // Commands of every user, beside those that a client needs to connect at all.
    Texts everybody;
} Settings;

// No text at all are settings with nothing in them. False if the text does not fit; `error` then
// says why.
bool read_settings(Text text, Settings *settings, Text *error);

// What is wrong with settings beyond their shape: false, and a sentence for who wrote them.
bool check_settings(const Settings *settings, Text *error);

// NULL for a user without a list.
const Texts *commands_of(const Settings *settings, Text user);

#endif
