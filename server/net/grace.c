/* SPDX-License-Identifier: BSD-2-Clause */
/* grace.c - rounds of mail.
 *
 * A reader has one mail: a round that begins while it is under way may be too late
 * for it, and sends it again when it has arrived.
 */
#include "config.h"

#include "server/net/grace.h"

#include <pthread.h>

/* lock guards all of it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list readers = { &readers, &readers };
static uint64_t last_round;

/* Under the lock. */
static void
ask(struct grace_reader *reader)
{
    reader->is_asked = true;
    reader->asked = last_round;
    loop_post(reader->loop, &reader->mail);
}

static void
on_mail(struct mail *mail)
{
    struct grace_reader *reader = container_of(mail, struct grace_reader, mail);

    pthread_mutex_lock(&lock);
    reader->is_asked = false;
    reader->passed = reader->asked;
    if (list_is_linked(&reader->link) && reader->passed < last_round)
        ask(reader);
    pthread_mutex_unlock(&lock);
}

void
grace_join(struct grace_reader *reader, struct loop *loop)
{
    *reader = (struct grace_reader){ .loop = loop, .mail.deliver = on_mail };
    list_init(&reader->link);
    pthread_mutex_lock(&lock);
    reader->passed = last_round;
    list_push_back(&readers, &reader->link);
    pthread_mutex_unlock(&lock);
}

void
grace_leave(struct grace_reader *reader)
{
    pthread_mutex_lock(&lock);
    list_remove(&reader->link);
    pthread_mutex_unlock(&lock);
}

uint64_t
grace_begin(void)
{
    uint64_t round;

    pthread_mutex_lock(&lock);
    round = ++last_round;
    list_each(link, &readers) {
        struct grace_reader *reader = container_of(link, struct grace_reader, link);

        if (!reader->is_asked)
            ask(reader);
    }
    pthread_mutex_unlock(&lock);
    return round;
}

bool
grace_is_over(uint64_t round)
{
    bool is_over = true;

    pthread_mutex_lock(&lock);
    list_each(link, &readers)
        is_over &= container_of(link, struct grace_reader, link)->passed >= round;
    pthread_mutex_unlock(&lock);
    return is_over;
}
