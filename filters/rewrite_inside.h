/* SPDX-License-Identifier: BSD-2-Clause */
/* rewrite_inside.h - what the files of the filter rewrite share.
 *
 *     rewrite.c          options, which content, fields
 *     rewrite_rules.c    replacements made ready
 *     rewrite_literal.c  all literals in one search
 *     rewrite_regex.c    one regular expression, partial matches
 *     rewrite_find.c     the leftmost match of all of them
 *     rewrite_replace.c  replacing as content passes
 *     rewrite_html.c     where in HTML head and body begin and end
 *     rewrite_insert.c   inserting there
 *
 * What matches does not depend on how content is cut. A match begins at the leftmost place;
 * of several there, the one of the rule written first counts. It has at most max_match bytes,
 * and nothing behind those decides on it either.
 */
#ifndef BASCULE_REWRITE_INSIDE_H
#define BASCULE_REWRITE_INSIDE_H

#include "filters/coding.h"
#include "filters/filter.h"
#include "filters/transform.h"
#include "server/base/pattern.h"

/* ---- rules */

#define REWRITE_GROUPS PATTERN_CAPTURES /* \0 to \9 */
#define REWRITE_RULES_MAX 256
#define REWRITE_REGEXES_MAX 16
#define REWRITE_CONTEXT 256u   /* bytes before a place that expressions may look back to */

struct rewrite_rule_conf {
    const char *find, *regex, *with;
    bool ignore_case;
};

struct rewrite_part {
    struct slice text;
    int group; /* -1: text */
};

struct rewrite_rule {
    struct slice find;
    bool ignore_case;
    void *regex;                /* pcre2_code; NULL: find is literal */
    struct rewrite_part *parts; /* of what stands there instead */
    unsigned part_count;
    int next;                   /* literal with the same letters; -1: none */
};

struct rewrite_node {
    unsigned char byte;          /* in lower case */
    uint32_t child, sibling;     /* 0: none */
    int rule;                    /* the first one that ends here; -1: none */
    int least;                   /* of all rules that end further down */
};

struct rewrite_rules {
    struct rewrite_rule *items;
    unsigned count;
    unsigned regexes[REWRITE_REGEXES_MAX]; /* of items */
    unsigned regex_count, literal_count;
    size_t max_match;
    struct rewrite_node *nodes; /* [0] is the root */
    uint32_t node_count;
    int only;                   /* the one literal, case and all; -1: there are others */
    uint64_t pairs[65536 / 64]; /* of first and second bytes of literals */
    bool firsts[256];
};

/* Makes rules ready; memory of arena, which releases the rest as well. NULL with err. */
struct rewrite_rules *rewrite_rules_new(struct rewrite_rule_conf *const *confs, size_t count,
                                        size_t max_match, struct arena *arena, struct err *err);

/* ---- finding */

struct rewrite_found {
    const struct rewrite_rule *rule;
    size_t start, end;
    size_t groups[2 * REWRITE_GROUPS]; /* SIZE_MAX: took no part */
    unsigned group_count;
};

enum rewrite_answer {
    REWRITE_NONE,   /* nothing begins in there */
    REWRITE_FOUND,
    REWRITE_UNSURE, /* something may begin at start: more is needed */
    REWRITE_LIMIT,  /* too much work; regular expressions are left out from here on */
};

/* Content as far as it is known: data up to end, of which [at, end) is to be searched. */
struct rewrite_text {
    const char *data;
    size_t at, end;
    bool is_end;   /* nothing comes behind */
    bool is_eager; /* what is unsure is looked at again, however little was added */
};

/* Of one rule of expressions, or of all literals. */
struct rewrite_candidate {
    enum rewrite_answer answer;
    size_t from;     /* nothing begins before */
    size_t seen_end; /* of the text when it was looked at */
    int least;       /* REWRITE_UNSURE: the first rule that may match there */
    struct rewrite_found found;
};

struct rewrite_search {
    const struct rewrite_rules *rules;
    struct rewrite_candidate *candidates; /* literals, then each expression */
    uint64_t passed;     /* bytes of text that are behind us */
    uint64_t effort;     /* bytes of text that expressions looked at for nothing, or not yet */
    bool has_no_regexes; /* a limit was hit */
};

/* More effort is a limit that was hit: so much, and so much for each byte that passed. */
#define REWRITE_EFFORT_FREE (8u * 1024 * 1024)
#define REWRITE_EFFORT_EACH 64u

/* Memory of arena. -1: it is spent. */
int rewrite_search_init(struct rewrite_search *search, const struct rewrite_rules *rules,
                        struct arena *arena);

/* The leftmost match in text. */
enum rewrite_answer rewrite_find(struct rewrite_search *search, const struct rewrite_text *text,
                                 struct rewrite_found *found);

/* The text moved by so many bytes towards its beginning. */
void rewrite_search_shift(struct rewrite_search *search, size_t bytes);

/* Looks for the first literal from candidate->from on. */
void rewrite_literal_search(const struct rewrite_rules *rules, const struct rewrite_text *text,
                            struct rewrite_candidate *candidate);

/* The same for one expression. */
void rewrite_regex_search(struct rewrite_search *search, const struct rewrite_rule *rule,
                          const struct rewrite_text *text, struct rewrite_candidate *candidate);

/* Compiles an expression; released with arena. NULL with err. */
void *rewrite_regex_new(const char *text, bool ignore_case, unsigned *groups,
                        struct arena *arena, struct err *err);

/* ---- content */

/* Whether content that begins so does with a mark of byte order of UTF-16: in there nothing is
 * what it seems to be. */
static inline bool
rewrite_is_wide(char first)
{
    return (unsigned char)first >= 0xfe;
}

struct rewrite_replacer {
    struct rewrite_search search;
    char *window; /* malloc; NULL until content comes */
    size_t at, end, room;
    size_t clear; /* from at on: goes out as it is */
    struct rewrite_found found;
    bool has_found;     /* behind clear */
    unsigned part;      /* while it is being put: of the rule's */
    size_t part_at;
    uint64_t left_bytes; /* beyond, content passes */
    uint64_t replaced;   /* matches so far */
    bool is_off, has_limit;
};

int rewrite_replacer_init(struct rewrite_replacer *replacer, const struct rewrite_rules *rules,
                          uint64_t max_bytes, struct arena *arena);

/* As struct transform_ops has it. has_limit turns true where a limit was hit, and with
 * must_end that is a failure. */
enum transform_result rewrite_replacer_work(struct rewrite_replacer *replacer, bool must_end,
                                            struct transform_step *step);
void rewrite_replacer_fini(struct rewrite_replacer *replacer);

/* ---- HTML */

enum html_place { HTML_HEAD_BEGIN, HTML_HEAD_END, HTML_BODY_BEGIN, HTML_BODY_END, HTML_PLACES };

#define HTML_ALL ((1u << HTML_PLACES) - 1)
#define HTML_HELD_BYTES 16u

/* Follows HTML as browsers read it (WHATWG HTML sections 13.2.5 and 13.2.6), as far as that
 * is needed to find those places. Zeroed at first, but for done. */
struct html_places {
    uint8_t state, mode, raw;        /* of rewrite_html.c */
    bool is_end_tag;
    bool is_escaped, is_doubly_escaped; /* of a script */
    uint8_t matched;                 /* of the end tag of raw text */
    uint8_t held_bytes;
    char held[HTML_HELD_BYTES];      /* the beginning of a tag */
    uint64_t last;                   /* bytes, in lower case */
    unsigned depth;                  /* of template */
    unsigned due_behind;             /* places behind the tag that is passing */
    unsigned done;                   /* bits of places: inserted, or not wanted */
};

/* In this order: pass bytes of the input go on as they are; held_more of it went into held;
 * with is_stop, places (bits) are inserted in the order of the enum, then held goes on, and
 * whoever called empties it. */
struct html_step {
    size_t pass, held_more;
    unsigned places;
    bool is_stop;
};

/* Reads on, up to the next stop or to the end of in. */
struct html_step html_places_read(struct html_places *html, const char *in, size_t bytes);

/* At the end of content: the places that are left; none within a tag or a comment that was not
 * ended. Then what is held goes on. */
unsigned html_places_end(struct html_places *html);

/* ---- inserting */

struct rewrite_inserter {
    struct html_places html;
    const struct slice *texts; /* HTML_PLACES of them */
    size_t text_at;
    unsigned places;           /* bits: being put */
    unsigned inserted;         /* so far */
    uint8_t held_at;
    bool is_stop, has_begun, is_ended;
};

/* Borrows texts, of which empty ones are not inserted. */
void rewrite_inserter_init(struct rewrite_inserter *inserter, const struct slice *texts);

/* As struct transform_ops has it. */
enum transform_result rewrite_inserter_work(struct rewrite_inserter *inserter,
                                            struct transform_step *step);

#endif
