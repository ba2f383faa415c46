/* SPDX-License-Identifier: BSD-2-Clause */
/* account_table.c - lines to accounts, found by a keyed hash of the name. */
#include "config.h"

#include "server/users/account_table.h"

#include "server/users/secrets.h"
#include "server/users/user.h"

#include <stdatomic.h>
#include <stdlib.h>

#define ARENA_BYTES ((size_t)1 << 30)
#define GROUPS_MAX 256u /* of one user */

struct membership {
    struct membership *next;
    struct slice group;
};

/* An account while it is made. */
struct member {
    struct account account;
    unsigned line;
    struct membership *memberships, **last;
};

struct account_table {
    struct arena arena; /* holds all of it */
    _Atomic unsigned references;
    uint64_t version;
    struct hash_key key;
    struct member *members;
    size_t count, room;
    uint32_t *slots; /* index into members + 1; 0: free. Linear probing */
    size_t mask;
    bool has_secret[2];
};

/* Where the reading is. */
struct reading {
    const struct account_source *source;
    struct account_table *table;
    const char *path;
    unsigned line;
    struct err *err;
};

/* ---- lines */

/* Puts file and line in front. Returns -1. */
static int
fail(const struct reading *r)
{
    return err_prefix(r->err, "%s:%u: ", r->path, r->line);
}

/* Takes the next line that says something off *text. */
static bool
next_line(struct reading *r, struct slice *text, struct slice *line)
{
    while (text->bytes > 0) {
        ptrdiff_t end = slice_find(*text, '\n');

        r->line++;
        *line = slice_make(text->data, end < 0 ? text->bytes : (size_t)end);
        *text = slice_skip(*text, end < 0 ? text->bytes : (size_t)end + 1);
        if (line->bytes > 0 && line->data[line->bytes - 1] == '\r')
            line->bytes--;
        if (slice_trim(*line).bytes > 0 && line->data[0] != '#')
            return true;
    }
    return false;
}

/* "NAME:REST" */
static int
split(const struct reading *r, const char *what, struct slice line, struct slice *name,
      struct slice *rest)
{
    ptrdiff_t colon = slice_find(line, ':');

    if (colon < 0) {
        err_set(r->err, "there is no colon behind the name of a %s", what);
        return fail(r);
    }
    *name = slice_trim(slice_make(line.data, (size_t)colon));
    *rest = slice_skip(line, (size_t)colon + 1);
    if (user_name_is_good(*name))
        return 0;
    err_set(r->err, "the name of a %s is empty, longer than %d bytes or not UTF-8", what,
            USER_NAME_BYTES_MAX);
    return fail(r);
}

/* ---- the table */

/* The slot of the name, or the free one for it. */
static uint32_t *
find_slot(const struct account_table *table, struct slice name)
{
    size_t at = hash_bytes(name, &table->key) & table->mask;

    while (table->slots[at] != 0 &&
           !slice_equal(table->members[table->slots[at] - 1].account.name, name))
        at = (at + 1) & table->mask;
    return &table->slots[at];
}

/* There is room for a line each. */
static int
make_room(struct account_table *table, struct slice users)
{
    size_t lines = 1, slots = 16;

    for (size_t i = 0; i < users.bytes; i++)
        lines += users.data[i] == '\n';
    while (slots < 2 * lines)
        slots *= 2;
    table->mask = slots - 1;
    table->room = lines;
    table->slots = arena_zalloc(&table->arena, slots * sizeof(*table->slots));
    table->members = arena_zalloc(&table->arena, lines * sizeof(*table->members));
    return table->slots != NULL && table->members != NULL ? 0 : -1;
}

static struct member *
member_of(struct account_table *table, struct slice name)
{
    uint32_t *slot = find_slot(table, name);
    struct member *member;

    if (*slot != 0)
        return &table->members[*slot - 1];
    must(table->count < table->room);
    member = &table->members[table->count++];
    *slot = (uint32_t)table->count;
    member->account.name = arena_copy(&table->arena, name);
    member->last = &member->memberships;
    return member;
}

/* ---- users */

/* Takes over the secrets of another line about the same user. */
static int
merge(const struct reading *r, struct member *member, const struct account *account)
{
    for (unsigned i = 0; i < 2; i++) {
        if (account->secrets[i].bytes == 0)
            continue;
        if (member->account.secrets[i].bytes > 0) {
            err_set(r->err, "user \"%.*s\" is in line %u already", SLICE_ARG(account->name),
                    member->line);
            return fail(r);
        }
        member->account.secrets[i] = account->secrets[i];
        r->table->has_secret[i] = true;
    }
    member->line = r->line;
    return 0;
}

static int
read_user(const struct reading *r, struct slice line)
{
    struct arena *arena = &r->table->arena;
    struct account account = { 0 };
    struct slice rest;
    int result;

    if (split(r, "user", line, &account.name, &rest) < 0)
        return -1;
    result = r->source->parse(r->source, &account, rest, arena, r->err);
    if (result < 0) {
        err_prefix(r->err, "user \"%.*s\": ", SLICE_ARG(account.name));
        return fail(r);
    }
    if (result == 0)
        return 0;
    return merge(r, member_of(r->table, account.name), &account);
}

static int
read_users(struct reading *r, struct slice text)
{
    struct slice line;

    r->path = r->source->file;
    r->line = 0;
    while (next_line(r, &text, &line))
        if (read_user(r, line) < 0)
            return -1;
    return 0;
}

/* ---- groups */

static int
join(const struct reading *r, struct slice group, struct slice name)
{
    uint32_t slot = *find_slot(r->table, name);
    struct membership *membership;
    struct member *member;

    if (slot == 0)
        return 0; /* the file may be shared with others, who know more users */
    member = &r->table->members[slot - 1];
    for (membership = member->memberships; membership != NULL; membership = membership->next)
        if (slice_equal(membership->group, group))
            return 0;
    if (member->account.group_count >= GROUPS_MAX) {
        err_set(r->err, "user \"%.*s\" is in more than %u groups", SLICE_ARG(name), GROUPS_MAX);
        return fail(r);
    }
    membership = arena_zalloc(&r->table->arena, sizeof(*membership));
    if (membership == NULL)
        return 0; /* the arena remembers */
    membership->group = group;
    *member->last = membership;
    member->last = &membership->next;
    member->account.group_count++;
    return 0;
}

static struct slice
next_word(struct slice *text)
{
    struct slice rest = slice_trim(*text), word = { rest.data, 0 };

    while (word.bytes < rest.bytes && rest.data[word.bytes] != ' ' &&
           rest.data[word.bytes] != '\t')
        word.bytes++;
    *text = slice_skip(rest, word.bytes);
    return word;
}

static int
read_groups(struct reading *r, struct slice text)
{
    struct slice line, group, names, name;

    r->path = r->source->groups;
    r->line = 0;
    while (next_line(r, &text, &line)) {
        if (split(r, "group", line, &group, &names) < 0)
            return -1;
        group = arena_copy(&r->table->arena, group);
        while ((name = next_word(&names)).bytes > 0)
            if (join(r, group, name) < 0)
                return -1;
    }
    return 0;
}

/* Lists become arrays. */
static void
settle_groups(struct account_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        struct member *member = &table->members[i];
        struct account *account = &member->account;
        struct membership *membership = member->memberships;
        struct slice *groups;

        groups = arena_alloc(&table->arena, account->group_count * sizeof(*groups) + 1);
        for (unsigned j = 0; groups != NULL && membership != NULL; j++) {
            groups[j] = membership->group;
            membership = membership->next;
        }
        account->groups = groups;
    }
}

/* ---- for everybody */

struct account_table *
account_table_new(const struct account_source *source, struct slice users, struct slice groups,
                  struct err *err)
{
    struct account_table *table = arena_new_object(NULL, ARENA_BYTES, sizeof(*table),
                                                   offsetof(struct account_table, arena));
    struct reading r = { .source = source, .table = table, .err = err };

    if (table == NULL) {
        err_set(err, "%s: out of memory", source->file);
        return NULL;
    }
    atomic_init(&table->references, 1);
    table->version = users_version_new();
    table->key = users_secrets.tables;
    if (make_room(table, users) < 0)
        err_set(err, "%s: out of memory", source->file);
    else if (read_users(&r, users) == 0 && read_groups(&r, groups) == 0) {
        settle_groups(table);
        if (!arena_is_spent(&table->arena))
            return table;
        err_set(err, "%s: is too large", source->file);
    }
    account_table_give(table);
    return NULL;
}

struct account_table *
account_table_ref(struct account_table *table)
{
    atomic_fetch_add_explicit(&table->references, 1, memory_order_relaxed);
    return table;
}

void
account_table_give(const struct account_table *const_table)
{
    struct account_table *table = (struct account_table *)const_table;

    if (table != NULL &&
        atomic_fetch_sub_explicit(&table->references, 1, memory_order_acq_rel) == 1)
        arena_free_object(table, offsetof(struct account_table, arena));
}

uint64_t
account_table_version(const struct account_table *table)
{
    return table->version;
}

const struct account *
account_table_find(const struct account_table *table, struct slice name)
{
    uint32_t slot = *find_slot(table, name);

    return slot != 0 ? &table->members[slot - 1].account : NULL;
}

const struct account *
account_table_decoy(const struct account_table *table, struct slice name)
{
    if (table->count == 0)
        return NULL;
    return &table->members[hash_bytes(name, &table->key) % table->count].account;
}

bool
account_table_has(const struct account_table *table, unsigned secret)
{
    return table->has_secret[secret];
}
