// Freeze: everybody may look, nobody may change anything.
//
// Why one would use it: in an incident or a migration, data must stay as it is while all clients
// stay connected. Taking the policy away again gives everybody back what they had.

#include "acl_policy.h"
#include <stdlib.h>
#include <string.h>

// Generated names carry package, interface and direction; there is only one of each here.
typedef acl_policy_string_t Text;
typedef exports_hera_policy_acl_acl_input_t Input;
typedef exports_hera_policy_acl_user_request_t Request;
typedef exports_hera_policy_acl_user_grants_t Grants;
typedef exports_hera_policy_acl_command_rule_t Rule;
typedef exports_hera_policy_acl_list_command_rule_t Rules;
typedef exports_hera_policy_acl_key_grant_t KeyGrant;

enum {
    ALLOW_COMMAND = EXPORTS_HERA_POLICY_ACL_COMMAND_RULE_ALLOW_COMMAND,
    ALLOW_CATEGORY = EXPORTS_HERA_POLICY_ACL_COMMAND_RULE_ALLOW_CATEGORY,
    DENY_CATEGORY = EXPORTS_HERA_POLICY_ACL_COMMAND_RULE_DENY_CATEGORY,
    READ_WRITE = EXPORTS_HERA_POLICY_ACL_KEY_ACCESS_READ_WRITE,
    INVALID_SETTINGS = HERA_POLICY_TYPES_POLICY_ERROR_INVALID_SETTINGS,
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static const char NO_SETTINGS[] = "this policy takes no settings";

// Some commands of @read are in these as well: GETEX changes when a key expires.
static const char *const DENIED[] = {"write", "admin", "dangerous"};

// Without these no client library gets as far as its first command.
static const char *const CONNECT[] = {
    "auth", "client|setinfo", "client|setname", "hello", "ping", "quit", "select",
};

static void *room(size_t count, size_t size) {
    void *block = calloc(count, size);
    if (!block) {
        abort();
    }
    return block;
}

static bool is(Text text, const char *word) {
    return text.len == strlen(word) && memcmp(text.ptr, word, text.len) == 0;
}

static bool has_command(const Input *input, const char *name) {
    for (size_t i = 0; i < input->commands.len; i++) {
        if (is(input->commands.ptr[i], name)) {
            return true;
        }
    }
    return false;
}

static bool has_category(const Input *input, const char *name) {
    for (size_t i = 0; i < input->categories.len; i++) {
        if (is(input->categories.ptr[i].name, name)) {
            return true;
        }
    }
    return false;
}

static void add(Rules *rules, uint8_t tag, const char *name) {
    Rule *rule = &rules->ptr[rules->len++];
    rule->tag = tag;
    // Each case of the variant holds a name, and all are in the same place.
    acl_policy_string_set(&rule->val.allow_command, name);
}

// A server refuses a user whose rules name what it lacks, and 6.2 lacks every subcommand.
static Rules frozen(const Input *input) {
    Rules rules = {room(1 + LENGTH(DENIED) + LENGTH(CONNECT), sizeof(Rule)), 0};
    if (has_category(input, "read")) {
        add(&rules, ALLOW_CATEGORY, "read");
    }
    for (size_t i = 0; i < LENGTH(DENIED); i++) {
        if (has_category(input, DENIED[i])) {
            add(&rules, DENY_CATEGORY, DENIED[i]);
        }
    }
    for (size_t i = 0; i < LENGTH(CONNECT); i++) {
        if (has_command(input, CONNECT[i])) {
            add(&rules, ALLOW_COMMAND, CONNECT[i]);
        }
    }
    return rules;
}

// No channels: to publish is to change something for those who listen.
static Grants grants_for(const Request *user, Rules rules) {
    size_t count = user->keys.len;
    Grants grants = {
        .name = user->name,
        .commands = rules,
        .keys = {room(count, sizeof(KeyGrant)), count},
    };
    for (size_t i = 0; i < count; i++) {
        // 6.2 knows no read-only patterns; the commands are what keeps writes out.
        grants.keys.ptr[i] = (KeyGrant){.pattern = user->keys.ptr[i], .access = READ_WRITE};
    }
    return grants;
}

static bool is_space(uint8_t byte) {
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

// Nothing, or an object with nothing in it: once spaces are gone, "" or "{}".
static bool is_empty(Text settings) {
    static const char OBJECT[] = "{}";
    size_t seen = 0;
    for (size_t i = 0; i < settings.len; i++) {
        if (is_space(settings.ptr[i])) {
            continue;
        }
        if (seen == strlen(OBJECT) || settings.ptr[i] != OBJECT[seen]) {
            return false;
        }
        seen++;
    }
    return seen == 0 || seen == strlen(OBJECT);
}

bool exports_hera_policy_acl_validate_settings(Text *settings, Text *err) {
    if (is_empty(*settings)) {
        return true;
    }
    acl_policy_string_set(err, NO_SETTINGS);
    return false;
}

// Our free() does nothing, so the answer may point into the input, at constants, and twice at the
// same rules. With a libc that frees, each would have to be a copy.
bool exports_hera_policy_acl_decide(exports_hera_policy_acl_context_t *context, Input *input,
                                    exports_hera_policy_acl_acl_answer_t *ret,
                                    exports_hera_policy_acl_policy_error_t *err) {
    if (!is_empty(context->settings)) {
        err->tag = INVALID_SETTINGS;
        acl_policy_string_set(&err->val.invalid_settings, NO_SETTINGS);
        return false;
    }
    Rules rules = frozen(input);
    ret->users.len = input->users.len;
    ret->users.ptr = room(input->users.len, sizeof(Grants));
    for (size_t i = 0; i < input->users.len; i++) {
        ret->users.ptr[i] = grants_for(&input->users.ptr[i], rules);
    }
    return true;
}
