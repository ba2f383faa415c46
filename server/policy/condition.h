/* SPDX-License-Identifier: BSD-2-Clause */
/* condition.h - groups of conditions, compiled: what the files of the rule engine
 * share.
 *
 *     condition_conf --(condition_compile)--> group of tests --(group_ask)--> answer
 *
 * A group is a run of tests that must all be true. Tests are sorted by what they
 * cost; what takes from a limit comes last.
 */
#ifndef BASCULE_CONDITION_H
#define BASCULE_CONDITION_H

#include "server/name_set.h"
#include "server/policy/policy.h"
#include "server/policy/text_set.h"

struct geo_conf;

/* Groups within groups, and sets within sets. */
#define CONDITION_DEPTH_MAX 8

/* Limits that the conditions of one policy may ask: they are bits of an evaluation. */
#define POLICY_LIMITS_MAX 64

extern const struct option condition_options[]; /* of struct condition_conf */

/* In the order in which they are asked: cheapest and most telling first. */
enum test_kind {
    TEST_HOST_IS, /* the one of many that is not worth a table */
    TEST_HOST_BELOW,
    TEST_PATH_IS,
    TEST_PATH_BEGINS,
    TEST_PORT,
    TEST_METHOD, /* as cheap, but true of most */
    TEST_SCHEME,
    TEST_STATUS,
    TEST_LONGER,
    TEST_LISTENER,
    TEST_MODE,
    TEST_USER,
    TEST_CLIENT,
    TEST_DESTINATION,
    TEST_HOST,
    TEST_SNI,
    TEST_SNI_DIFFERS,
    TEST_PATH,
    TEST_HEADER,
    TEST_CONTENT_TYPE,
    TEST_TIME,
    TEST_USER_GROUP,
    TEST_CLIENT_IN,
    TEST_DESTINATION_IN,
    TEST_HOST_IN,
    TEST_SNI_IN,
    TEST_COOKIE,
    TEST_QUERY,
    TEST_URL_IN,
    TEST_COUNTRY,
    TEST_AS,
    TEST_DESTINATION_COUNTRY,
    TEST_DESTINATION_AS,
    TEST_ANY, /* other groups */
    TEST_NONE,
    TEST_SET,
    TEST_PATH_REGEX,
    TEST_URL_REGEX,
    TEST_CERTIFICATE,
    TEST_CERTIFICATE_ISSUER,
    TEST_OVER, /* has side effects: after all others */
};

struct test {
    uint8_t kind;    /* enum test_kind */
    uint8_t needs;   /* STAGE_BITs that must be over; 0: it finds out itself */
    uint8_t stages;  /* the same with those of groups in it */
    bool has_limits; /* it, or a group in it, takes from limits */
    uint32_t mask;   /* METHOD, SCHEME: bits; LISTs, fields: count of data; a bool */
    const void *data;   /* by kind */
    struct slice text;  /* of kinds that compare with one */
    const struct condition_conf *conf; /* where it was written */
};

struct group {
    const struct test *tests;
    uint32_t count;
    uint8_t stages; /* STAGE_BITs of all within */
    uint8_t height; /* groups within groups */
    bool has_limits;
};

/* Of ANY, NONE and SET. Those that take from limits come last. */
struct groups {
    size_t count;
    struct group items[];
};

/* Of HEADER, COOKIE and QUERY. */
struct named_test {
    struct slice name, value;
    const struct pattern *pattern;
    uint16_t id; /* of a header field: enum field_id */
    bool has_value;
};

struct geo_test {
    const struct geo_conf *geo; /* its databases come with the snapshot's adoption */
    uint32_t letters[26];       /* of a country: by the first, bits by the second */
    uint32_t *numbers;          /* sorted */
    size_t number_count;
};

/* Of OVER. */
struct over_test {
    const struct limit_conf *limit;
    uint64_t bit;   /* in an evaluation */
    unsigned needs; /* STAGE_BITs of what its key is made of */
};

/* ---- as it is written */

/* How a field of struct condition_conf holds its values. */
enum field_form { FORM_STRINGS, FORM_LIST, FORM_POINTER, FORM_PORTS, FORM_SIZE, FORM_MAYBE };

struct condition_field {
    const char *name; /* as an operator writes it */
    uint8_t kind;     /* enum test_kind */
    uint8_t stage;
    uint8_t form;
    uint16_t offset;
};

/* Every condition but for groups and sets; ends with a row without a name. */
extern const struct condition_field condition_fields[];

/* The row of a kind; HOST_IS and its like are HOST's. NULL: of groups. */
const struct condition_field *condition_field_of(enum test_kind kind);

static inline const void *
condition_value(const struct condition_field *field, const struct condition_conf *conf)
{
    return (const char *)conf + field->offset;
}

bool condition_is_said(const struct condition_field *field, const struct condition_conf *conf);

/* Whether nothing is said. */
bool condition_is_empty(const struct condition_conf *conf);

/* Reads "404" or "500-599"; false for what is no status. */
bool condition_read_statuses(struct slice text, struct port_range *range);

/* What all configured things with a name begin with: lists, sets, limits, users. */
struct named {
    struct place place;
    const char *name;
};

/* ---- compiling */

struct compiler {
    struct conf *conf;
    struct arena *arena;  /* of the snapshot */
    struct arena scratch;
    struct name_set *sets, *lists, *limits;
    struct err *err;

    /* what is being compiled, for errors */
    const struct policy_conf *policy; /* NULL: a set that nobody may be using */
    const struct rule_conf *rule;
    const struct condition_set_conf *set;

    /* of one policy */
    struct group **set_groups; /* by position in conf->sets; NULL: not compiled yet */
    const struct limit_conf *over[POLICY_LIMITS_MAX];
    unsigned over_count;
    size_t test_count;         /* bounded */
    unsigned depth;
};

/* Compiles what is written. Tests come from the snapshot's arena. 0, or -1 with err
 * naming file and line. */
int condition_compile(struct compiler *compiler, const struct condition_conf *conf,
                      struct group *group);

/* Puts place, policy and rule (or set) in front of err. Returns -1. */
int compiler_fail(struct compiler *compiler, const struct place *place);

/* Fills in the test of this field, values checked. 0, or -1 with err, without place. */
int test_compile(struct compiler *compiler, const struct condition_field *field,
                 const struct condition_conf *conf, struct test *test);

/* STAGE_BITs of what the key of a limit is made of. */
unsigned limit_stages(const struct limit_conf *limit);

/* The number of a limit among those that the policy's conditions ask; -1 with err. */
int compiler_limit(struct compiler *compiler, const struct limit_conf *limit);

/* The object of that name of a list whose members begin with place and name. NULL
 * with err, which names the nearest one. set: by name. */
void *compiler_find(struct compiler *compiler, const struct name_set *set,
                    const struct config_list *list, const char *what, struct slice name);

/* ---- asking */

struct certificate_names;

/* One evaluation. */
struct ask {
    const struct facts *facts;
    const struct policy_hooks *hooks; /* NULL: none */
    void *arg;
    struct evaluation *evaluation;
    const struct certificate_names *client; /* this and url are made when asked for first */
    struct slice url;
    bool has_client, has_url;
    bool doubt; /* what an expression that gave up counts as: whatever refuses */
};

/* Answers: an enum truth, but in place of UNKNOWN ANSWER_WAITS + the stage waited for. */
enum { ANSWER_FALSE = TRUTH_FALSE, ANSWER_TRUE = TRUTH_TRUE, ANSWER_WAITS = TRUTH_UNKNOWN };

unsigned group_ask(const struct group *group, struct ask *ask);

/* Whether a test is false, as far as a glance tells: most rules are passed over by their
 * first. */
static inline bool
test_fails_at_once(const struct test *test, const struct facts *facts)
{
    if ((test->needs & ~facts->known) != 0)
        return false;
    switch (test->kind) {
    case TEST_METHOD:
        return facts->request != NULL && (test->mask >> facts->request->method & 1) == 0;
    case TEST_HOST_IS:
        return facts->host.bytes != test->text.bytes || facts->host.data[0] != test->text.data[0];
    case TEST_HOST_BELOW:
        return facts->host.bytes <= test->text.bytes;
    case TEST_PATH_IS:
        return facts->path.bytes != test->text.bytes;
    case TEST_PATH_BEGINS: /* the first bytes of most are "/" and something */
        return facts->path.bytes < test->text.bytes ||
               (test->text.bytes > 1 && facts->path.data[1] != test->text.data[1]);
    case TEST_PATH:
        return !text_set_may_have(test->data, facts->path);
    case TEST_HOST:
        return !text_set_may_have(test->data, facts->host);
    case TEST_CLIENT:
        return !prefix_set_has(test->data, &facts->client);
    case TEST_HEADER:
        return test->mask == 1 && facts->request != NULL &&
               !fields_has(&facts->request->fields,
                           ((const struct named_test *)test->data)->id);
    case TEST_COOKIE:
        return facts->request != NULL && !fields_has(&facts->request->fields, FIELD_COOKIE);
    case TEST_QUERY:
        return facts->query.bytes == 0;
    default:
        return false;
    }
}

/* One test alone. */
unsigned test_ask(const struct test *test, struct ask *ask);

/* The same of what is no group and no limit, and was not decided on the spot; its stages
 * are over. */
unsigned fact_ask(const struct test *test, struct ask *ask);

/* What is missing of stages: ANSWER_FALSE for what this flow never has, or which stage is
 * waited for. Something must be missing. */
unsigned facts_missing(const struct facts *facts, unsigned needs);

/* The name that TLS asks for, of a tunnel or of the client's own connection: into *name,
 * and ANSWER_TRUE, when it is known. */
unsigned ask_sni(const struct facts *facts, struct slice *name);

/* ---- words */

struct words {
    char *at, *end; /* room left */
};

/* Why group_ask() gave this answer. Asks again, which takes from no limit. */
void group_say(const struct group *group, unsigned answer, struct ask *ask, struct words *words);

#endif
