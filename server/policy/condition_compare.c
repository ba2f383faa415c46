/* SPDX-License-Identifier: BSD-2-Clause */
/* condition_compare.c - implication and contradiction of groups of conditions.
 *
 * A group becomes claims: single conditions, alternatives ("any", several sets) and
 * denials ("not").
 *
 *     narrow implies wide:  each single condition of wide is covered by one of narrow, or
 *                           by all of a list of alternatives; likewise its alternatives
 *                           and denials
 *     a excludes b:         two single conditions about one fact have no value in
 *                           common, or one denies what the other implies
 */
#include "config.h"

#include "server/policy/condition_compare.h"

#include "server/policy/value_compare.h"
#include "server/schema.h"

struct single {
    const struct condition_field *field;
    const struct condition_conf *conf;
};

struct alternatives {
    const struct claims **items;
    size_t count;
};

struct claims {
    struct single *singles;
    size_t single_count;
    struct alternatives *alternatives;
    size_t alternative_count;
    const struct claims **denials;
    size_t denial_count;
    size_t single_room, alternative_room, denial_room;
    uint64_t kinds;   /* bits of single conditions, by kind */
    unsigned stages;
};

/* ---- taking apart */

/* Room for one more in an array of the arena; NULL when that is spent. */
static void *
grow(struct arena *arena, void *items, size_t count, size_t *room, size_t item_bytes)
{
    void *more;

    if (count < *room)
        return items;
    *room = *room > 0 ? *room * 2 : 4;
    more = arena_alloc(arena, *room * item_bytes);
    if (more != NULL && count > 0)
        memcpy(more, items, count * item_bytes);
    return more;
}

static bool add_claims(struct comparison *comparison, struct claims *claims,
                       const struct condition_conf *conf);

static bool
add_singles(struct comparison *comparison, struct claims *claims,
            const struct condition_conf *conf)
{
    for (const struct condition_field *field = condition_fields; field->name != NULL; field++) {
        if (!condition_is_said(field, conf))
            continue;
        claims->singles = grow(comparison->arena, claims->singles, claims->single_count,
                               &claims->single_room, sizeof(*claims->singles));
        if (claims->singles == NULL)
            return false;
        claims->singles[claims->single_count++] = (struct single){ field, conf };
        claims->kinds |= UINT64_C(1) << field->kind;
        claims->stages |= STAGE_BIT(field->stage);
    }
    return true;
}

/* Room for count alternatives; NULL when the arena is spent. */
static struct alternatives *
new_alternatives(struct comparison *comparison, struct claims *claims, size_t count)
{
    struct alternatives *added;

    claims->alternatives = grow(comparison->arena, claims->alternatives,
                                claims->alternative_count, &claims->alternative_room,
                                sizeof(*claims->alternatives));
    if (claims->alternatives == NULL)
        return NULL;
    added = &claims->alternatives[claims->alternative_count++];
    added->count = count;
    added->items = arena_alloc(comparison->arena, count * sizeof(*added->items));
    return added->items != NULL ? added : NULL;
}

static const struct claims *
new_inner(struct comparison *comparison, struct claims *claims, const struct condition_conf *conf)
{
    const struct claims *inner = claims_new(comparison, conf);

    if (inner != NULL)
        claims->stages |= inner->stages;
    return inner;
}

static bool
add_any(struct comparison *comparison, struct claims *claims, const struct config_list *any)
{
    struct alternatives *added;

    if (any->count == 0)
        return true;
    if (any->count == 1)
        return add_claims(comparison, claims, any->items[0]);
    added = new_alternatives(comparison, claims, any->count);
    for (size_t i = 0; added != NULL && i < any->count; i++) {
        added->items[i] = new_inner(comparison, claims, any->items[i]);
        if (added->items[i] == NULL)
            return false;
    }
    return added != NULL;
}

static const struct condition_conf *
set_conditions(const struct conf *conf, struct slice name)
{
    for (size_t i = 0; i < conf->sets.count; i++) {
        const struct condition_set_conf *set = conf->sets.items[i];

        if (slice_equal(slice_of(set->name), name))
            return &set->when;
    }
    return NULL; /* a mistake that was reported */
}

static bool
add_sets(struct comparison *comparison, struct claims *claims, const struct strings *names)
{
    struct alternatives *added;

    if (names->count == 0)
        return true;
    if (names->count == 1) {
        const struct condition_conf *set = set_conditions(comparison->conf, names->items[0]);

        return set != NULL && add_claims(comparison, claims, set);
    }
    added = new_alternatives(comparison, claims, names->count);
    for (size_t i = 0; added != NULL && i < names->count; i++) {
        const struct condition_conf *set = set_conditions(comparison->conf, names->items[i]);

        added->items[i] = set != NULL ? new_inner(comparison, claims, set) : NULL;
        if (added->items[i] == NULL)
            return false;
    }
    return added != NULL;
}

static bool
add_denials(struct comparison *comparison, struct claims *claims, const struct config_list *none)
{
    for (size_t i = 0; i < none->count; i++) {
        claims->denials = grow(comparison->arena, claims->denials, claims->denial_count,
                               &claims->denial_room, sizeof(*claims->denials));
        if (claims->denials == NULL)
            return false;
        claims->denials[claims->denial_count] = new_inner(comparison, claims, none->items[i]);
        if (claims->denials[claims->denial_count++] == NULL)
            return false;
    }
    return true;
}

static bool
add_claims(struct comparison *comparison, struct claims *claims, const struct condition_conf *conf)
{
    if (!add_singles(comparison, claims, conf) || !add_any(comparison, claims, &conf->any) ||
        !add_denials(comparison, claims, &conf->none) ||
        !add_sets(comparison, claims, &conf->sets))
        return false;
    for (size_t i = 0; i < conf->all.count; i++)
        if (!add_claims(comparison, claims, conf->all.items[i]))
            return false;
    return true;
}

const struct claims *
claims_new(struct comparison *comparison, const struct condition_conf *conf)
{
    struct claims *claims = arena_zalloc(comparison->arena, sizeof(*claims));

    return claims != NULL && add_claims(comparison, claims, conf) ? claims : NULL;
}

bool
claims_are_empty(const struct claims *claims)
{
    return claims->single_count + claims->alternative_count + claims->denial_count == 0;
}

unsigned
claims_stages(const struct claims *claims)
{
    return claims->stages;
}

/* ---- implication */

static bool
implies_single(struct comparison *comparison, const struct claims *narrow,
               const struct single *wide)
{
    for (size_t i = 0; i < narrow->single_count; i++) {
        const struct single *single = &narrow->singles[i];

        if (single->field == wide->field &&
            values_cover(wide->field, wide->conf, single->conf, &comparison->work_left))
            return true;
    }
    for (size_t i = 0; i < narrow->alternative_count; i++) {
        const struct alternatives *alternatives = &narrow->alternatives[i];
        size_t at = 0;

        while (at < alternatives->count &&
               implies_single(comparison, alternatives->items[at], wide))
            at++;
        if (at == alternatives->count)
            return true;
    }
    return false;
}

static bool
implies_alternatives(struct comparison *comparison, const struct claims *narrow,
                     const struct alternatives *wide)
{
    for (size_t i = 0; i < wide->count; i++)
        if (claims_imply(comparison, narrow, wide->items[i]))
            return true;
    for (size_t i = 0; i < narrow->alternative_count; i++) {
        const struct alternatives *alternatives = &narrow->alternatives[i];
        size_t at = 0;

        while (at < alternatives->count &&
               implies_alternatives(comparison, alternatives->items[at], wide))
            at++;
        if (at == alternatives->count)
            return true;
    }
    return false;
}

static bool
implies_denial(struct comparison *comparison, const struct claims *narrow,
               const struct claims *denied)
{
    for (size_t i = 0; i < narrow->denial_count; i++)
        if (claims_imply(comparison, denied, narrow->denials[i]))
            return true;
    return claims_exclude(comparison, narrow, denied);
}

bool
claims_imply(struct comparison *comparison, const struct claims *narrow,
             const struct claims *wide)
{
    if ((wide->kinds & ~narrow->kinds) != 0 && narrow->alternative_count == 0)
        return false;
    if (comparison->work_left == 0)
        return false;
    comparison->work_left--;
    for (size_t i = 0; i < wide->single_count; i++)
        if (!implies_single(comparison, narrow, &wide->singles[i]))
            return false;
    for (size_t i = 0; i < wide->alternative_count; i++)
        if (!implies_alternatives(comparison, narrow, &wide->alternatives[i]))
            return false;
    for (size_t i = 0; i < wide->denial_count; i++)
        if (!implies_denial(comparison, narrow, wide->denials[i]))
            return false;
    return true;
}

/* ---- contradiction */

static bool
have_apart_values(struct comparison *comparison, const struct claims *a, const struct claims *b)
{
    for (size_t i = 0; i < a->single_count && (a->kinds & b->kinds) != 0; i++)
        for (size_t j = 0; j < b->single_count; j++)
            if (a->singles[i].field == b->singles[j].field &&
                values_are_apart(a->singles[i].field, a->singles[i].conf, b->singles[j].conf,
                                 &comparison->work_left))
                return true;
    return false;
}

static bool
denies(struct comparison *comparison, const struct claims *a, const struct claims *b)
{
    for (size_t i = 0; i < a->denial_count; i++)
        if (claims_imply(comparison, b, a->denials[i]))
            return true;
    return false;
}

bool
claims_exclude(struct comparison *comparison, const struct claims *a, const struct claims *b)
{
    return have_apart_values(comparison, a, b) || denies(comparison, a, b) ||
           denies(comparison, b, a);
}

static bool
are_all_excluded(struct comparison *comparison, const struct claims *claims,
                 const struct alternatives *alternatives)
{
    for (size_t i = 0; i < alternatives->count; i++)
        if (!claims_exclude(comparison, claims, alternatives->items[i]) &&
            !claims_are_contradictory(comparison, alternatives->items[i]))
            return false;
    return true;
}

bool
claims_are_contradictory(struct comparison *comparison, const struct claims *claims)
{
    if (have_apart_values(comparison, claims, claims) || denies(comparison, claims, claims))
        return true;
    for (size_t i = 0; i < claims->alternative_count; i++)
        if (are_all_excluded(comparison, claims, &claims->alternatives[i]))
            return true;
    return false;
}

/* ---- places */

static bool
has_common(const struct strings *a, const struct strings *b)
{
    for (size_t i = 0; i < a->count; i++)
        for (size_t j = 0; j < b->count; j++)
            if (slice_equal(a->items[i], b->items[j]))
                return true;
    return a->count == 0 || b->count == 0;
}

/* CONNECT asks for HOST:PORT, and its response is our own. */
static bool
is_of_connect(const struct condition_field *field)
{
    switch ((enum test_kind)field->kind) {
    case TEST_SCHEME:
    case TEST_PATH:
    case TEST_PATH_REGEX:
    case TEST_QUERY:
        return false;
    default:
        return field->stage != STAGE_RESPONSE;
    }
}

static bool
wants_connect(const struct single *single)
{
    const struct strings *methods = &single->conf->methods;

    for (size_t i = 0; i < methods->count; i++)
        if (!slice_equal(methods->items[i], SLICE("CONNECT")))
            return false;
    return single->field->kind == TEST_METHOD;
}

static bool
is_possible(const struct single *single, const struct claims_place *place)
{
    switch ((enum test_kind)single->field->kind) {
    case TEST_SNI:
    case TEST_SNI_IN: /* else that of the client's own TLS */
    case TEST_OVER:
        return true;
    case TEST_LISTENER:
        return has_common(&single->conf->listeners, &place->listeners);
    case TEST_MODE:
        return has_common(&single->conf->modes, &place->modes);
    default:
        return (place->stages & STAGE_BIT(single->field->stage)) != 0;
    }
}

/* is_tunnel: CONNECT alone is meant, as conditions around these say. */
static struct hindrance
find_hindrance(const struct claims *claims, const struct claims_place *place, bool is_tunnel)
{
    for (size_t i = 0; i < claims->single_count; i++)
        is_tunnel = is_tunnel || wants_connect(&claims->singles[i]);
    for (size_t i = 0; i < claims->single_count; i++) {
        const struct single *single = &claims->singles[i];

        if (!is_possible(single, place))
            return (struct hindrance){ single->field, false };
        if (is_tunnel && !is_of_connect(single->field))
            return (struct hindrance){ single->field, true };
    }
    for (size_t i = 0; i < claims->alternative_count; i++) {
        const struct alternatives *alternatives = &claims->alternatives[i];
        struct hindrance found = { .field = NULL };
        size_t at = 0;

        while (at < alternatives->count &&
               (found = find_hindrance(alternatives->items[at], place, is_tunnel)).field != NULL)
            at++;
        if (at == alternatives->count)
            return found;
    }
    return (struct hindrance){ .field = NULL };
}

struct hindrance
claims_hindrance(const struct claims *claims, const struct claims_place *place)
{
    return find_hindrance(claims, place, false);
}

struct hindrance
claims_vain_denial(const struct claims *claims, const struct claims_place *place)
{
    struct hindrance found = { .field = NULL };

    for (size_t i = 0; i < claims->denial_count; i++) {
        found = claims_hindrance(claims->denials[i], place);
        if (found.field != NULL && found.field->kind != TEST_LISTENER &&
            found.field->kind != TEST_MODE)
            return found;
    }
    found.field = NULL;
    for (size_t i = 0; i < claims->alternative_count; i++)
        for (size_t j = 0; j < claims->alternatives[i].count && found.field == NULL; j++)
            found = claims_vain_denial(claims->alternatives[i].items[j], place);
    return found;
}
