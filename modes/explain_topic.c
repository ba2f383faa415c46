/* SPDX-License-Identifier: BSD-2-Clause */
/* explain_topic.c - takes requests for explanations apart, and answers them. */
#include "config.h"

#include "modes/explain.h"

#include "modes/trail.h"
#include "server/base/clock.h"
#include "server/base/hex.h"
#include "server/snapshot.h"

#include <inttypes.h>
#include <stdlib.h>

/* A request on its way to an answer. */
struct asked {
    const struct topic_home *home;
    struct slice rest; /* of the request */
    bool is_json;
    FILE *out;
    char *text;
    size_t bytes;
};

/* ---- words */

static bool
take_word(struct slice *rest, struct slice *word)
{
    ptrdiff_t tab = slice_find(*rest, '\t');
    size_t bytes = tab >= 0 ? (size_t)tab : rest->bytes;

    if (rest->data == NULL)
        return false;
    *word = slice_make(rest->data, bytes);
    *rest = tab >= 0 ? slice_skip(*rest, bytes + 1) : slice_make(NULL, 0);
    return true;
}

static int
fail(struct asked *asked, struct err *err)
{
    fprintf(asked->out, "%s\n", err->text);
    return -1;
}

/* ---- one that was */

static int
say_where_it_went(struct asked *asked, uint64_t id)
{
    uint64_t oldest_s;
    struct err err;

    if (!trail_is_kept(clock_wall_ms(), &oldest_s))
        err_set(&err, "no exchanges are recorded: the option trail is 0");
    else
        err_set(&err, "exchange %016" PRIx64 " is not recorded, or not any more: what is kept goes "
                      "back %" PRIu64 " s (the option trail says how much is)", id, oldest_s);
    return fail(asked, &err);
}

static int
tell_id(struct asked *asked)
{
    static struct trail_entry entry;
    struct slice word;
    struct err err;
    uint64_t id;

    if (!take_word(&asked->rest, &word) || !hex_to_u64(word, &id)) {
        err_set(&err, "\"%.*s\" is no number of an exchange: 16 hexadecimal digits, as in access "
                      "logs; a request is asked for by METHOD URL", SLICE_ARG(word));
        return fail(asked, &err);
    }
    if (!trail_find(id, &entry))
        return say_where_it_went(asked, id);
    if (asked->is_json)
        explain_entry_json(asked->out, &entry);
    else
        explain_entry_text(asked->out, &entry);
    return 0;
}

/* ---- one that is thought of */

/* "WORD=VALUE". */
static int
read_question(struct asked *asked, struct question *question, struct slice *why_not,
              struct err *err)
{
    struct slice word, name;

    while (take_word(&asked->rest, &word)) {
        ptrdiff_t equals = slice_find(word, '=');

        if (equals < 0)
            return err_set(err, "unknown request");
        name = slice_make(word.data, (size_t)equals);
        word = slice_skip(word, (size_t)equals + 1);
        if (slice_equal(name, SLICE("why-not")))
            *why_not = word;
        else if (question_set(question, name, word, err) < 0)
            return -1;
    }
    return 0;
}

static int
tell(struct asked *asked, const struct hypothesis *hypothesis, struct slice why_not,
     struct err *err)
{
    if (why_not.data != NULL)
        return explain_why_not(asked->out, hypothesis, why_not, asked->is_json, err);
    if (asked->is_json)
        explain_json(asked->out, hypothesis);
    else
        explain_text(asked->out, hypothesis);
    return 0;
}

static int
think(struct asked *asked)
{
    struct question *question = calloc(1, sizeof(*question));
    struct slice why_not = slice_make(NULL, 0);
    struct hypothesis *hypothesis = NULL;
    struct err err = { "out of memory" };
    bool is_served = asked->home->loop != NULL; /* else a command asks without a daemon */
    int result = -1;

    if (question != NULL && read_question(asked, question, &why_not, &err) == 0)
        hypothesis = hypothesis_new(asked->home->snapshot, question, is_served, &err);
    if (hypothesis != NULL)
        result = tell(asked, hypothesis, why_not, &err);
    hypothesis_free(hypothesis);
    free(question);
    return result == 0 ? 0 : fail(asked, &err);
}

/* ---- the topic */

static render_fn *
page(struct slice request)
{
    (void)request;
    return NULL;
}

static bool
ask(const struct topic_home *home, uint64_t ticket, struct slice request)
{
    struct asked asked = { .home = home, .rest = request };
    struct slice topic, what, form;
    int result;

    if (!take_word(&asked.rest, &topic) || !take_word(&asked.rest, &what) ||
        !take_word(&asked.rest, &form) ||
        (!slice_equal(what, SLICE("id")) && !slice_equal(what, SLICE("ask"))))
        return false;
    asked.is_json = slice_equal(form, SLICE("json"));
    asked.out = open_memstream(&asked.text, &asked.bytes);
    if (asked.out == NULL) {
        home->answer(home->arg, ticket, false, NULL, 0);
        return true;
    }
    result = slice_equal(what, SLICE("id")) ? tell_id(&asked) : think(&asked);
    fclose(asked.out);
    home->answer(home->arg, ticket, result == 0, asked.text, asked.bytes);
    return true;
}

static void
show_nothing(FILE *out, const struct status_facts *facts)
{
    (void)out;
    (void)facts;
}

const struct topic explain_topic = {
    .word = "explain",
    .page = page,
    .ask = ask,
    .status_text = show_nothing,
    .status_json = show_nothing,
    .metrics = show_nothing,
};
