/* SPDX-License-Identifier: BSD-2-Clause */
/* rate_limit_fields.c - limits as members of structured lists (RFC 9651):
 *
 *     RateLimit-Policy: "logins";q=10;w=60
 *     RateLimit: "logins";r=7;t=18
 *
 * q is all there is, w the seconds in which it comes back, r what is left of it and t the
 * seconds until all of it is there again. Of a rate all there is is the burst, which comes
 * back as steadily as the rate says.
 */
#include "config.h"

#include "filters/rate_limit_fields.h"

#include <inttypes.h>

static uint64_t
seconds(uint64_t ms)
{
    return (ms + 999) / 1000;
}

/* The time in which a whole burst comes back. */
static uint64_t
window_ms(const struct limit_conf *conf)
{
    uint64_t requests = (uint64_t)conf->requests;
    uint64_t burst = conf->burst > 0 ? (uint64_t)conf->burst : requests;

    return (burst * conf->period_ms + requests - 1) / requests;
}

/* Of what limit_state counts: requests of a rate, or else bytes, or else how many at a time. */
static struct slice
policy(const struct rate_limit_said *said, struct arena *arena)
{
    const struct limit_conf *conf = said->conf;

    if (conf->requests > 0)
        return arena_printf(arena, "\"%s\";q=%" PRId64 ";w=%" PRIu64, conf->name,
                            said->state.limit, seconds(window_ms(conf)));
    if (conf->quota_bytes > 0)
        return arena_printf(arena, "\"%s\";q=%" PRId64 ";qu=\"content-bytes\";w=%" PRIu64,
                            conf->name, said->state.limit, seconds(conf->quota_ms));
    return arena_printf(arena, "\"%s\";q=%" PRId64 ";qu=\"concurrent-requests\"", conf->name,
                        said->state.limit);
}

/* Of how many at a time nobody knows when one will leave. */
static struct slice
now(const struct rate_limit_said *said, struct arena *arena)
{
    const struct limit_conf *conf = said->conf;

    if (conf->requests == 0 && conf->quota_bytes == 0)
        return arena_printf(arena, "\"%s\";r=%" PRId64, conf->name, said->state.remaining);
    return arena_printf(arena, "\"%s\";r=%" PRId64 ";t=%" PRIu64, conf->name,
                        said->state.remaining, seconds(said->state.reset_ms));
}

static void
add(struct fields *fields, struct arena *arena, struct slice name,
    const struct rate_limit_said *said, unsigned count,
    struct slice (*write)(const struct rate_limit_said *, struct arena *))
{
    struct slice value = slice_make(NULL, 0);

    for (unsigned i = 0; i < count; i++) {
        struct slice member;

        if (said[i].conf == NULL)
            continue;
        member = write(&said[i], arena);
        value = value.bytes == 0 ? member : arena_join(arena, (struct slice[]){
                                                value, SLICE(", "), member }, 3);
    }
    if (value.bytes > 0)
        fields_add_name(fields, arena, name, value);
}

void
rate_limit_add_fields(struct fields *fields, struct arena *arena,
                      const struct rate_limit_said *said, unsigned count)
{
    add(fields, arena, SLICE("RateLimit-Policy"), said, count, policy);
    add(fields, arena, SLICE("RateLimit"), said, count, now);
}
