/* SPDX-License-Identifier: BSD-2-Clause */
/* list_house.h - what the files about lists share: only list.c, list_loader.c and
 * list_topic.c look in here.
 */
#ifndef BASCULE_LIST_HOUSE_H
#define BASCULE_LIST_HOUSE_H

#include <pthread.h>
#include <stdatomic.h>

#include "server/file_watch.h"
#include "server/policy/list_content.h"
#include "server/registry.h"

struct policy_list {
    struct registered registered;
    _Atomic(struct list_content *) content; /* NULL until it is first loaded, by the main thread */
    _Atomic uint64_t failures;              /* since it was last loaded */
    struct arena arena;                     /* of conf and paths */
    struct list_conf conf;                  /* a copy */

    /* Guarded by the lock. */
    struct list link;      /* of all lists */
    uint64_t changed_ms;   /* something happened to a file; 0: nothing since it was loaded */
    uint64_t first_ms;     /* when that was for the first time */

    /* The main thread's until there is content, then the loader's. */
    struct file_state *stamps; /* of the files when they were last read */
    const char **paths;        /* of them */
    struct arena path_arena;   /* of those in folders */
    unsigned path_count, path_room;
    struct watched watched;
    bool is_watched;           /* watched was set */
    struct file_state *settling; /* how they looked when a change was noticed */
    bool is_settling;          /* one was */
    uint64_t looked_ms;
    uint64_t told;             /* hash of the last complaint; 0: none */
};

struct list_house {
    pthread_mutex_t lock; /* guards the two, and lists' times; nobody waits holding it */
    struct list lists;    /* of struct policy_list */
    struct list retired;  /* of struct list_content: some thread may still look at it */
    bool is_running;      /* the loader */
};

extern struct list_house list_house;

static inline void
list_house_lock(void)
{
    pthread_mutex_lock(&list_house.lock);
}

static inline void
list_house_unlock(void)
{
    pthread_mutex_unlock(&list_house.lock);
}

/* ---- list.c */

/* Which files it is made of now. */
void policy_list_find_paths(struct policy_list *list);

/* How they look now; before they are read. stamps has room for path_room. */
void policy_list_take_stamps(const struct policy_list *list, struct file_state *stamps);

/* ---- list_loader.c */

/* Sees to the content of a list that is gone, or was replaced: in round it may
 * still be looked at (0: by nobody). NULL is fine. */
void list_content_retire(struct list_content *content, uint64_t round);

#endif
