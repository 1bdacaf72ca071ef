#include "settings.h"
#include "json.h"

static bool is(Text name, const char *word) {
    return compare(name, text_of(word)) == 0;
}

static bool is_blank(Text text) {
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.ptr[i];
        if (byte != ' ' && byte != '\t' && byte != '\n' && byte != '\r') {
            return false;
        }
    }
    return true;
}

static bool take_users(Reader *reader, Settings *settings) {
    size_t size;
    if (!take_object(reader, &size)) {
        return false;
    }
    settings->users.ptr = room(size, sizeof(Listed));
    settings->users.len = size;
    for (size_t i = 0; i < size; i++) {
        Listed *user = &settings->users.ptr[i];
        if (!take_name(reader, &user->name) || !take_list(reader, &user->commands)) {
            return false;
        }
    }
    return true;
}

static bool refuse_field(Reader *reader, const char *what, Text name, const char *rest) {
    return refuse(reader, JOIN(text_of(what), name, text_of(rest)));
}

static bool take_field(Reader *reader, Settings *settings) {
    Text name;
    if (!take_name(reader, &name)) {
        return false;
    }
    bool users = is(name, "users");
    if (!users && !is(name, "everybody")) {
        return refuse_field(reader, "unknown field `", name, "`, expected `users` or `everybody`");
    }
    // What has been read has an address, even with nothing in it.
    if (users ? settings->users.ptr != NULL : settings->everybody.ptr != NULL) {
        return refuse_field(reader, "duplicate field `", name, "`");
    }
    return users ? take_users(reader, settings) : take_list(reader, &settings->everybody);
}

static bool take_settings(Reader *reader, Settings *settings) {
    size_t size;
    if (!open_json(reader) || !take_object(reader, &size)) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (!take_field(reader, settings)) {
            return false;
        }
    }
    return close_json(reader);
}

bool read_settings(Text text, Settings *settings, Text *error) {
    *settings = (Settings){0};
    Reader reader = {.text = text};
    if (is_blank(text) || take_settings(&reader, settings)) {
        return true;
    }
    *error = JOIN(text_of("the settings "), text, text_of(" do not fit: "), reader.why);
    return false;
}

static bool is_command(Text command) {
    for (size_t i = 0; i < command.len; i++) {
        uint8_t byte = command.ptr[i];
        bool letter = (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9');
        if (!letter && byte != '|' && byte != '-' && byte != '_' && byte != '.') {
            return false;
        }
    }
    return command.len > 0;
}

static bool check_commands(Texts commands, Text *error) {
    for (size_t i = 0; i < commands.len; i++) {
        if (!is_command(commands.ptr[i])) {
            *error = JOIN(text_of("'"), commands.ptr[i],
                          text_of("' is no command: write plain lower-case names as get or "
                                  "config|get"));
            return false;
        }
    }
    return true;
}

bool check_settings(const Settings *settings, Text *error) {
    if (!check_commands(settings->everybody, error)) {
        return false;
    }
    for (size_t i = 0; i < settings->users.len; i++) {
        if (!check_commands(settings->users.ptr[i].commands, error)) {
            return false;
        }
    }
    return true;
}

const Texts *commands_of(const Settings *settings, Text user) {
    // The last one counts if a name is there twice.
    for (size_t i = settings->users.len; i > 0; i--) {
        const Listed *listed = &settings->users.ptr[i - 1];
        if (compare(listed->name, user) == 0) {
            return &listed->commands;
        }
    }
    return NULL;
}
