/* SPDX-License-Identifier: BSD-2-Clause */
/* waf_modsecurity.c - rules and transactions by way of libmodsecurity.
 *
 *     registry:   rule files, compiled        core rule set, compiled
 *                         \                       /
 *     a filter:   its options and directives, merged with both (shared, not copied)
 *
 * The engine is always on, whatever rule files say: whether something is refused or only told
 * is the filter's affair. The library writes no files of its own.
 */
#include "config.h"

#include "filters/waf_library.h"

#include "filters/waf_files.h"
#include "filters/waf_functions.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/must.h"
#include "server/registry.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

const bool waf_is_built_in = true;

/* Files, compiled. */
struct compiled {
    struct registered registered; /* identity: of the files */
    RulesSet *rules;
};

enum { PART_FILES, PART_CORE, PARTS };

struct waf_rules {
    _Atomic unsigned references;
    RulesSet *rules;
    struct compiled *parts[PARTS]; /* which the registry keeps for the next reload */
};

struct waf_transaction {
    Transaction *library;
    struct waf_verdict *verdict; /* being filled; NULL: what rules say is not wanted */
    bool was_asked;              /* about the request */
};

/* ---- the library */

/* Held while the library is loaded, and while rules are read, merged or freed: its reader is
 * not made for two threads at once (ModSecurity#3138). Taken within the registry's lock, never
 * the other way round. */
static pthread_mutex_t reading = PTHREAD_MUTEX_INITIALIZER;

/* Both are set before there are any rules, and then stay: whoever has rules may read them. */
static const struct waf_functions *call;
static ModSecurity *library; /* for ever: what rules remember of clients is in it */

/* Called by the library for each rule that was true and logs, on the transaction's thread. */
static void
on_message(void *arg, const void *text)
{
    struct waf_transaction *transaction = arg;
    struct waf_verdict *verdict = transaction != NULL ? transaction->verdict : NULL;
    struct waf_hit hit;

    if (verdict == NULL || text == NULL)
        return;
    waf_message_read(text, &hit);
    for (unsigned i = 0; i < verdict->hit_count && i < WAF_HITS_MAX; i++)
        if (verdict->hits[i].id == hit.id && strcmp(verdict->hits[i].where, hit.where) == 0)
            return; /* true for the same once more, by another transformation */
    if (verdict->hit_count < WAF_HITS_MAX)
        verdict->hits[verdict->hit_count] = hit;
    verdict->hit_count++;
}

static int
start(struct err *err)
{
    if (library != NULL)
        return 0;
    call = waf_functions_load(err);
    if (call == NULL)
        return -1;
    library = call->msc_init();
    if (library == NULL)
        return err_set(err, "no memory for libmodsecurity");
    call->msc_set_connector_info(library, "Bascule " PACKAGE_VERSION);
    call->msc_set_log_cb(library, on_message);
    return 0;
}

static int
start_once(struct err *err)
{
    int result;

    pthread_mutex_lock(&reading);
    result = start(err);
    pthread_mutex_unlock(&reading);
    return result;
}

static void
free_rules(RulesSet *rules)
{
    pthread_mutex_lock(&reading);
    call->msc_rules_cleanup(rules);
    pthread_mutex_unlock(&reading);
}

/* The library's words on failure; allocated. */
typedef int add_fn(RulesSet *rules, const void *what, const char **words);

static int
add_file(RulesSet *rules, const void *path, const char **words)
{
    return call->msc_rules_add_file(rules, path, words);
}

static int
add_text(RulesSet *rules, const void *text, const char **words)
{
    return call->msc_rules_add(rules, text, words);
}

static int
add_rules(RulesSet *rules, const void *from, const char **words)
{
    return call->msc_rules_merge(rules, (RulesSet *)(uintptr_t)from, words);
}

/* How many rules were added, or -1 with err; name: where they come from. */
static int
add(RulesSet *rules, add_fn *add_what, const void *what, const char *name, struct err *err)
{
    const char *words = NULL;
    int count;

    pthread_mutex_lock(&reading);
    count = add_what(rules, what, &words);
    pthread_mutex_unlock(&reading);
    if (count < 0)
        waf_message_error(words != NULL ? words : "", name, err);
    free((void *)(uintptr_t)words);
    return count < 0 ? -1 : count;
}

/* ---- files */

static size_t
heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

/* Returns how many rules there are, or -1. */
static int
compile(RulesSet *rules, const struct waf_files *files, struct err *err)
{
    int count = 0;

    for (size_t i = 0; i < files->count; i++) {
        int added = add(rules, add_file, files->paths[i], files->paths[i], err);

        if (added < 0)
            return -1;
        count += added;
    }
    return count;
}

static struct registered *
make(const void *conf, struct err *err)
{
    const struct waf_files *files = conf;
    struct compiled *compiled = calloc(1, sizeof(*compiled));
    uint64_t start_ms = clock_monotonic_ms();
    size_t before = heap_bytes(), after;
    int count;

    if (compiled != NULL)
        compiled->rules = call->msc_create_rules_set();
    if (compiled == NULL || compiled->rules == NULL) {
        free(compiled);
        err_set(err, "no memory for rules");
        return NULL;
    }
    count = compile(compiled->rules, files, err);
    if (count < 0) {
        free_rules(compiled->rules);
        free(compiled);
        return NULL;
    }
    after = heap_bytes();
    log_info("waf: %d rules read from %zu files (%s ...) in %u ms; they need about %zu KB", count,
             files->count, files->paths[0], (unsigned)(clock_monotonic_ms() - start_ms),
             (after > before ? after - before : 0) / 1024);
    return &compiled->registered;
}

static void
discard(struct registered *registered)
{
    struct compiled *compiled = container_of(registered, struct compiled, registered);

    free_rules(compiled->rules);
    free(compiled);
}

static const struct registry_kind kind = { "rules of a firewall", make, discard };

static struct compiled *
compiled_adopt(const struct slice *patterns, size_t count, struct err *err)
{
    struct registered *registered;
    struct waf_files files;

    if (waf_files_find(&files, patterns, count, err) < 0)
        return NULL;
    registered = registry_adopt(&kind, files.identity, &files, err);
    waf_files_free(&files);
    return registered != NULL ? container_of(registered, struct compiled, registered) : NULL;
}

/* ---- the rules of one filter */

/* What is set already wins over what is merged. How many rules, or -1. */
static int
add_part(struct waf_rules *rules, unsigned part, const struct slice *patterns, size_t count,
         struct err *err)
{
    if (count == 0)
        return 0;
    rules->parts[part] = compiled_adopt(patterns, count, err);
    if (rules->parts[part] == NULL)
        return -1;
    return add(rules->rules, add_rules, rules->parts[part]->rules,
               part == PART_CORE ? "core rule set" : "rules", err);
}

struct waf_rules *
waf_rules_adopt(const struct waf_plan *plan, struct err *err)
{
    struct slice core = slice_of(plan->core != NULL ? plan->core : "");
    struct waf_rules *rules;

    if (start_once(err) < 0)
        return NULL;
    rules = calloc(1, sizeof(*rules));
    if (rules != NULL)
        rules->rules = call->msc_create_rules_set();
    if (rules == NULL || rules->rules == NULL) {
        free(rules);
        err_set(err, "no memory for rules");
        return NULL;
    }
    atomic_init(&rules->references, 1);
    if (add(rules->rules, add_text, plan->setup, "options", err) >= 0 &&
        (plan->directives == NULL ||
         add(rules->rules, add_text, plan->directives, "directives", err) >= 0) &&
        add_part(rules, PART_FILES, plan->files->items, plan->files->count, err) >= 0 &&
        add_part(rules, PART_CORE, &core, plan->core != NULL, err) >= 0)
        return rules;
    waf_rules_unref(rules);
    return NULL;
}

struct waf_rules *
waf_rules_ref(struct waf_rules *rules)
{
    atomic_fetch_add_explicit(&rules->references, 1, memory_order_relaxed);
    return rules;
}

void
waf_rules_unref(struct waf_rules *rules)
{
    if (rules == NULL ||
        atomic_fetch_sub_explicit(&rules->references, 1, memory_order_acq_rel) > 1)
        return;
    free_rules(rules->rules);
    for (unsigned i = 0; i < PARTS; i++)
        if (rules->parts[i] != NULL)
            registered_unref(&rules->parts[i]->registered);
    free(rules);
}

/* ---- transactions */

struct waf_transaction *
waf_transaction_new(struct waf_rules *rules)
{
    struct waf_transaction *transaction = calloc(1, sizeof(*transaction));

    if (transaction == NULL)
        return NULL;
    transaction->library = call->msc_new_transaction(library, rules->rules, transaction);
    if (transaction->library != NULL)
        return transaction;
    free(transaction);
    return NULL;
}

/* True: a rule disrupts, so the rest is not asked. */
static bool
is_disrupted(struct waf_transaction *transaction)
{
    ModSecurityIntervention intervention = { .status = 200 };
    struct waf_verdict *verdict = transaction->verdict;
    bool is_disruptive = call->msc_intervention(transaction->library, &intervention) != 0 &&
                         intervention.disruptive != 0;

    if (is_disruptive && verdict != NULL) {
        verdict->is_disruptive = true;
        verdict->status = (uint16_t)intervention.status;
        verdict->location = intervention.url;
        intervention.url = NULL;
        if (intervention.log != NULL)
            waf_message_read(intervention.log, &verdict->by);
    }
    free(intervention.url);
    free(intervention.log);
    return is_disruptive;
}

static const unsigned char *
bytes_of(struct slice s)
{
    return (const unsigned char *)(s.bytes > 0 ? s.data : "");
}

static bool
ask_head(struct waf_transaction *transaction, const struct waf_message *message)
{
    Transaction *to = transaction->library;

    call->msc_process_connection(to, message->client, 0, message->server, 0);
    call->msc_process_uri(to, message->target, message->method, message->version);
    for (size_t i = 0; i < message->field_count; i++) {
        const struct waf_field *field = &message->fields[i];

        call->msc_add_n_request_header(to, bytes_of(field->name), field->name.bytes,
                                       bytes_of(field->value), field->value.bytes);
    }
    call->msc_process_request_headers(to);
    transaction->was_asked = true;
    return is_disrupted(transaction);
}

void
waf_judge_request(struct waf_transaction *transaction, const struct waf_message *message,
                  struct waf_verdict *verdict)
{
    transaction->verdict = verdict;
    if (!ask_head(transaction, message)) {
        if (message->content.bytes > 0)
            call->msc_append_request_body(transaction->library, bytes_of(message->content),
                                          message->content.bytes);
        call->msc_process_request_body(transaction->library);
        (void)is_disrupted(transaction);
    }
    transaction->verdict = NULL;
}

void
waf_judge_response(struct waf_transaction *transaction, const struct waf_message *message,
                   struct waf_verdict *verdict)
{
    Transaction *to = transaction->library;

    if (!transaction->was_asked)
        (void)ask_head(transaction, message);
    transaction->verdict = verdict;
    for (size_t i = 0; i < message->response_field_count; i++) {
        const struct waf_field *field = &message->response_fields[i];

        call->msc_add_n_response_header(to, bytes_of(field->name), field->name.bytes,
                                        bytes_of(field->value), field->value.bytes);
    }
    call->msc_process_response_headers(to, message->status, "HTTP/1.1");
    if (!is_disrupted(transaction)) {
        if (message->content.bytes > 0)
            call->msc_append_response_body(to, bytes_of(message->content),
                                           message->content.bytes);
        call->msc_process_response_body(to);
        (void)is_disrupted(transaction);
    }
    transaction->verdict = NULL;
}

void
waf_transaction_end(struct waf_transaction *transaction)
{
    if (transaction == NULL)
        return;
    call->msc_process_logging(transaction->library);
    call->msc_transaction_cleanup(transaction->library);
    free(transaction);
}
