// Each user gets the commands that the settings list for it, and no others: the policy
// acl-least-privilege once more, and the same cases hold for both.
//
// Memory is never freed here, so an answer may point into the input, into the settings and at
// constants. With a C library that frees, each of these would have to be a copy.

#include "settings.h"

// Generated names carry package, interface and direction; there is only one of each here.
typedef exports_hera_policy_acl_acl_input_t Input;
typedef exports_hera_policy_acl_user_request_t Request;
typedef exports_hera_policy_acl_user_grants_t Grants;
typedef exports_hera_policy_acl_command_rule_t Rule;
typedef exports_hera_policy_acl_list_command_rule_t Rules;
typedef exports_hera_policy_acl_key_grant_t KeyGrant;
typedef exports_hera_policy_acl_list_key_grant_t KeyGrants;

enum {
    ALLOW_COMMAND = EXPORTS_HERA_POLICY_ACL_COMMAND_RULE_ALLOW_COMMAND,
    READ_WRITE = EXPORTS_HERA_POLICY_ACL_KEY_ACCESS_READ_WRITE,
    INVALID_SETTINGS = HERA_POLICY_TYPES_POLICY_ERROR_INVALID_SETTINGS,
    WARN = HERA_POLICY_LOG_LEVEL_WARN,
};

// Without these no client library gets as far as its first command.
static const char *const CONNECT[] = {
    "auth", "client|setinfo", "client|setname", "hello", "ping", "quit", "select",
};

// A server refuses a user whose rules name what it lacks. Its commands are sorted.
static bool has_command(const Input *input, Text name) {
    size_t low = 0, high = input->commands.len;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(input->commands.ptr[middle], name);
        if (order == 0) {
            return true;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

static void allow(Rules *rules, const Input *input, Text command) {
    if (has_command(input, command)) {
        Rule *rule = &rules->ptr[rules->len++];
        rule->tag = ALLOW_COMMAND;
        rule->val.allow_command = command;
    }
}

static void allow_all(Rules *rules, const Input *input, Texts commands) {
    for (size_t i = 0; i < commands.len; i++) {
        allow(rules, input, commands.ptr[i]);
    }
}

static Rules rules_of(const Input *input, Texts everybody, Texts own) {
    Rules rules = {room(LENGTH(CONNECT) + everybody.len + own.len, sizeof(Rule)), 0};
    for (size_t i = 0; i < LENGTH(CONNECT); i++) {
        allow(&rules, input, text_of(CONNECT[i]));
    }
    allow_all(&rules, input, everybody);
    allow_all(&rules, input, own);
    return rules;
}

static KeyGrants all_of(Texts patterns) {
    KeyGrants keys = {room(patterns.len, sizeof(KeyGrant)), patterns.len};
    for (size_t i = 0; i < patterns.len; i++) {
        keys.ptr[i] = (KeyGrant){.pattern = patterns.ptr[i], .access = READ_WRITE};
    }
    return keys;
}

static Grants grants_of(const Request *user, const Input *input, const Settings *settings) {
    const Texts *own = commands_of(settings, user->name);
    if (!own) {
        Text line = JOIN(text_of("no commands are listed for "), user->name);
        hera_policy_log_write(WARN, &line);
    }
    return (Grants){
        .name = user->name,
        .commands = rules_of(input, settings->everybody, own ? *own : (Texts){0}),
        .keys = all_of(user->keys),
        .channels = user->channels,
    };
}

bool exports_hera_policy_acl_decide(exports_hera_policy_acl_context_t *context, Input *input,
                                    exports_hera_policy_acl_acl_answer_t *ret,
                                    exports_hera_policy_acl_policy_error_t *err) {
    Settings settings;
    if (!read_settings(context->settings, &settings, &err->val.invalid_settings)) {
        err->tag = INVALID_SETTINGS;
        return false;
    }
    ret->again_at.is_some = false;
    ret->users.len = input->users.len;
    ret->users.ptr = room(input->users.len, sizeof(Grants));
    for (size_t i = 0; i < input->users.len; i++) {
        ret->users.ptr[i] = grants_of(&input->users.ptr[i], input, &settings);
    }
    return true;
}

bool exports_hera_policy_acl_validate_settings(Text *text, Text *err) {
    Settings settings;
    return read_settings(*text, &settings, err) && check_settings(&settings, err);
}
