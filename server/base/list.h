/* SPDX-License-Identifier: BSD-2-Clause */
/* list.h - doubly linked lists whose links live in their members. */
#ifndef BASCULE_LIST_H
#define BASCULE_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* Both a head and a member's link. A link that is on no list points to itself. */
struct list {
    struct list *next, *prev;
};

static inline void
list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool
list_is_empty(const struct list *head)
{
    return head->next == head;
}

/* Whether a link is on some list. */
static inline bool
list_is_linked(const struct list *link)
{
    return link->next != link;
}

static inline void
list_insert_before(struct list *at, struct list *link)
{
    link->prev = at->prev;
    link->next = at;
    at->prev->next = link;
    at->prev = link;
}

static inline void
list_push_front(struct list *head, struct list *link)
{
    list_insert_before(head->next, link);
}

static inline void
list_push_back(struct list *head, struct list *link)
{
    list_insert_before(head, link);
}

/* Takes the link off its list; harmless when it is on none. */
static inline void
list_remove(struct list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

/* Moves all members of from to the empty list to. */
static inline void
list_move_all(struct list *to, struct list *from)
{
    if (list_is_empty(from)) {
        list_init(to);
        return;
    }
    *to = *from;
    to->next->prev = to;
    to->prev->next = to;
    list_init(from);
}

/* Visits every link; the body may remove the one it is given. */
#define list_each(link, head) \
    for (struct list *link = (head)->next, *link##_next = link->next; link != (head); \
         link = link##_next, link##_next = link->next)

#endif
