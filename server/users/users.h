/* SPDX-License-Identifier: BSD-2-Clause */
/* users.h - where users come from, and how they prove who they are.
 *
 *     users = ( { name = "staff"; kind = "htpasswd"; file = "/etc/bascule/htpasswd"; } );
 *
 * A kind is one file and one line in the table of kinds. Proofs that take time (a
 * password's hash, a directory, another server) are made elsewhere: login() says wait
 * and the exchange goes on when the answer is there.
 */
#ifndef BASCULE_USERS_H
#define BASCULE_USERS_H

#include "server/config/option.h"
#include "server/http/exchange.h"
#include "server/users/user.h"

struct users_ops;

/* One configured source; the kind's own struct begins with this. */
struct users_conf {
    struct place place;
    const char *name;
    const struct users_ops *ops;
    const char *realm;       /* as the challenge says it; NULL: the name */
    uint32_t cache_ms;       /* how long a proof counts without being made again */
    bool has_cache;          /* that was said, not assumed */
    int64_t max_failures;    /* of one user and client, then locked ... */
    uint32_t lock_ms;        /* ... for this long */
    int64_t max_logins;      /* passwords of one client that are checked at a time */
    const char *user_field;  /* header field that tells the origin the name; NULL: none */
};

enum login_state {
    LOGIN_NONE,    /* no credentials: to be asked for */
    LOGIN_WAIT,    /* ex->road->on_resume() will be called; then login() is asked again */
    LOGIN_OK,      /* login->user is there, in the exchange's arena */
    LOGIN_WRONG,   /* to be asked for again */
    LOGIN_LOCKED,  /* too many failures: 429 with Retry-After */
    LOGIN_BUSY,    /* our queue is full, or the other server does not answer: 503 */
    LOGIN_ANSWER,  /* exchange_answer() made the response: forward_auth's, a redirect to log in */
};

/* One exchange's way through it; zeroed memory of its arena. */
struct login {
    struct user user;
    bool is_proxy;           /* 407 and Proxy-Authorization; else 401 and Authorization */
    bool is_stale;           /* the challenge says so: digest, with a nonce of yesterday */
    uint32_t retry_s;        /* of LOCKED */
    const char *detail;      /* static, for the log: "wrong password", "no such user" */
    struct slice claimed;    /* who it was said to be, proved or not; empty: not known */
    void *state;             /* the kind's own: a job under way; NULL */
};

struct users_ops {
    const char *name;        /* as written: "htpasswd" */
    const char *text;        /* one sentence */
    const struct option *options;
    size_t conf_bytes;
    int (*finish)(struct users_conf *users, struct conf *conf, struct arena *arena,
                  struct err *err);
    /* In the worker process (or `check`): opens, reads, finds in the registry. */
    int (*adopt)(struct users_conf *users, struct err *err);
    /* Also when it was never adopted: then there is nothing to give back. */
    void (*release)(struct users_conf *users);
    /* The i-th file it reads; NULL: no more. The hook may be NULL: it reads none. */
    const char *(*file)(const struct users_conf *users, unsigned i);
    enum login_state (*login)(const struct users_conf *users, struct login *login,
                              struct exchange *ex);
    /* Adds WWW-Authenticate or Proxy-Authenticate to ex->response. NULL: there is nothing to
     * ask with (certificates, trusted headers): 403 instead of 401. */
    void (*challenge)(const struct users_conf *users, const struct login *login,
                      struct exchange *ex);
    /* The exchange ends while it waits. NULL: it never does. */
    void (*cancel)(const struct users_conf *users, struct login *login, struct exchange *ex);
    /* Takes what is this kind's credentials out of the request's fields. NULL: it has
     * none there. Called by users_tell_origin(). */
    void (*strip)(const struct users_conf *users, const struct login *login,
                  struct exchange *ex);
};

/* All kinds, in the order of the manual; ends with NULL (modes/users_kinds.c). */
extern const struct users_ops *const users_kinds[];

extern const struct option users_options[]; /* of the members of users = ( ... ) */

/* Checks all of them. 0, or -1 with err, which begins with file and line; the same below. */
int users_finish(struct conf *conf, struct arena *arena, struct err *err);

/* Reads files, finds objects of the registry. After a failure, too, users_release() gives
 * back what there is. */
int users_adopt(struct conf *conf, struct err *err);
void users_release(struct conf *conf);

/* The source of that name, for finish hooks. NULL with err, which names the nearest one. */
struct users_conf *users_named(const struct conf *conf, const char *name, struct err *err);

/* Also for finish hooks: a file has an absolute path, since who reads it may be in another
 * folder. NULL is fine. */
int users_check_path(const char *option, const char *path, struct err *err);

/* And for names of header fields: tokens (RFC 9110 section 5.1), and none that belongs to a
 * connection or decides where a message ends or goes. data NULL is fine. */
int users_check_field(const char *option, struct slice name, struct err *err);

/* For a request that goes upstream: takes out the credentials, and any user_field that the
 * client has put there; says in it who the user is, if login has one, and adds what came
 * with the proof. To be called for whatever policy with these users judges, asked or not
 * (login is zeroed then). */
void users_tell_origin(const struct users_conf *users, const struct login *login,
                       struct exchange *ex);

/* Whether origins may take a field of one name for the other's: in any case, and with "_"
 * for "-", which are one to those that make variables of names (RFC 3875 section 4.1.18). */
bool users_fields_are_alike(struct slice a, struct slice b);

/* Takes all fields of that name out of the request, and those that are like it. Returns how
 * many there were. */
unsigned users_remove_field(struct exchange *ex, struct slice name);

/* The secrets of this process, that caches are keyed with and nonces signed: before
 * anything else of users. 0, or -1 with err. Any time later, users_stop() ends the threads
 * that hash passwords; nobody may be waiting for them. */
int users_start(struct err *err);
void users_stop(void);

/* How it goes with logins, for metrics. */
struct users_facts {
    uint64_t hashes;  /* passwords that were hashed */
    uint64_t waiting; /* ... and that wait for it now */
    uint64_t busy;    /* logins refused because too many waited */
    uint64_t failures; /* wrong proofs */
    uint64_t locks;   /* times that a user and client were locked */
};
struct users_facts users_facts(void);

#endif
