/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSLENS_BASE_H
#define NSLENS_BASE_H

#include <stddef.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
/* clang-format off: it takes the minus for a sign */
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
/* clang-format on */
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))

#define NS_PER_MS 1000000ULL
#define NS_PER_SEC 1000000000ULL

#endif
