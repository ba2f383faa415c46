/* SPDX-License-Identifier: BSD-2-Clause */
/* list.h - long lists of domains, networks and URLs, that rules ask.
 *
 *     lists = ( { name = "ads"; kind = "domains"; files = [ "/etc/bascule/ads.txt" ]; } );
 *
 * A list lives in the registry: a reload that names the same files keeps it. Its
 * files are watched; what changed is compiled in the background and takes the
 * place of the old content at once. A file that cannot be read or has a mistake
 * leaves the last good content in service, with a line in the log that says
 * where and what.
 *
 * Asked without a lock, by any thread that has joined grace (server/net/grace.h:
 * workers, and the main thread) or while the loader does not run.
 */
#ifndef BASCULE_POLICY_LIST_H
#define BASCULE_POLICY_LIST_H

#include "server/config/option.h"
#include "server/net/address.h"

struct conf;
struct policy_list;

enum list_kind { LIST_DOMAINS, LIST_NETWORKS, LIST_URLS };

enum list_format {
    LIST_AUTO,     /* by what is in the file */
    LIST_PLAIN,    /* one entry a line, "#" begins a comment */
    LIST_HOSTS,    /* "0.0.0.0 name name": a hosts file */
    LIST_ADBLOCK,  /* "||example.com^": domain rules of filter lists, "@@||" takes back */
    LIST_SQUIDGUARD, /* a folder with files "domains", "urls", "expressions" (UT1) */
    LIST_RPZ,      /* a response policy zone */
};

struct list_conf {
    struct place place;
    const char *name;
    int kind;             /* enum list_kind */
    int format;           /* enum list_format */
    struct strings files; /* absolute; folders with squidguard */
    struct strings items; /* entries in the configuration itself */
    int64_t max_entries, max_expressions;
    int64_t max_bad_lines; /* more than so many lines that make no sense: the file is bad */
    uint32_t settle_ms;    /* without a change, before a file is taken to be whole */
    struct policy_list *list; /* in the registry; in `check` made for it */
};

extern const struct option list_options[]; /* of struct list_conf */

/* Checks what is configured. 0, or -1 with err. */
int list_conf_finish(struct list_conf *conf, struct err *err);

/* Finds or loads every list of conf (waits for files: main thread, not a worker).
 * -1 with err when one was never loaded and cannot be: FILE:LINE of the list's file. */
int lists_adopt(struct conf *conf, struct err *err);
void lists_release(struct conf *conf);

/* Whether the host (lower case, no brackets) or a domain above it is in the list.
 * entry, unless NULL, becomes what matched, borrowed from host. */
bool list_has_host(const struct policy_list *list, struct slice host, struct slice *entry);

bool list_has_ip(const struct policy_list *list, const struct ip *ip);

/* host as above, path in normal form, query without "?" (data NULL: none). */
bool list_has_url(const struct policy_list *list, struct slice host, struct slice path,
                  struct slice query);

/* For status and metrics. */
struct list_facts {
    uint64_t entries, bytes;
    int64_t loaded_s;      /* since 1970: when its content was compiled */
    uint64_t failures;     /* loads that failed since then */
};

void list_facts(const struct policy_list *list, struct list_facts *facts);

/* The thread that watches and compiles; worker process only. It is there already:
 * nothing happens. 0, or -1 with err. */
int lists_start(struct err *err);

/* When no thread asks any more. The lists may live on. */
void lists_stop(void);

#endif
