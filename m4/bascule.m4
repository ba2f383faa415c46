# SPDX-License-Identifier: BSD-2-Clause
# bascule.m4 - the few macros of our own.

# BASCULE_CFLAG(VARIABLE, FLAG): adds FLAG to VARIABLE if the compiler takes it.
AC_DEFUN([BASCULE_CFLAG], [
  AS_VAR_PUSHDEF([cache], [bascule_cv_cflag_$2])
  AC_CACHE_CHECK([whether $CC takes $2], [cache], [
    bascule_save_CFLAGS=$CFLAGS
    CFLAGS="-Werror $2"
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM()], [AS_VAR_SET([cache], [yes])],
                      [AS_VAR_SET([cache], [no])])
    CFLAGS=$bascule_save_CFLAGS])
  AS_VAR_IF([cache], [yes], [AS_VAR_APPEND([$1], [" $2"])])
  AS_VAR_POPDEF([cache])
])

# BASCULE_SANITIZER(NAME, FLAGS, WHAT): the option --enable-NAME, which compiles
# and links with FLAGS; sets enable_NAME to yes or no.
AC_DEFUN([BASCULE_SANITIZER], [
  AC_ARG_ENABLE([$1], [AS_HELP_STRING([--enable-$1], [build with the $3])],
                [], [enable_$1=no])
  AS_IF([test "x$enable_$1" = xyes], [
    bascule_save_CFLAGS=$CFLAGS
    CFLAGS="$CFLAGS $2"
    AC_MSG_CHECKING([whether programs can be built with $2])
    AC_LINK_IFELSE([AC_LANG_PROGRAM()], [AC_MSG_RESULT([yes])],
                   [AC_MSG_RESULT([no])
                    AC_MSG_ERROR([--enable-$1 needs a compiler that takes $2])])
    CFLAGS=$bascule_save_CFLAGS
    AS_VAR_APPEND([SANITIZE_FLAGS], [" $2"])])
])

# BASCULE_OPTIONAL(NAME, VARIABLE, MODULE): looks with pkg-config for a library that
# a build may go without. Sets found_NAME, and VARIABLE_CFLAGS and VARIABLE_LIBS.
AC_DEFUN([BASCULE_OPTIONAL], [
  PKG_CHECK_MODULES([$2], [$3],
    [found_$1=yes
     AC_DEFINE([HAVE_$2], [1], [Whether $1 was found.])],
    [found_$1=no])
])

# BASCULE_WITH(NAME, VARIABLE, MODULE, WHAT): the option --with-NAME for a library
# that is used only when asked for, and must be there then.
AC_DEFUN([BASCULE_WITH], [
  AC_ARG_WITH([$1], [AS_HELP_STRING([--with-$1], [use $1 for $4])], [], [with_$1=no])
  AS_CASE([$with_$1],
    [no], [found_$1="not asked for (--with-$1)"],
    [PKG_CHECK_MODULES([$2], [$3])
     found_$1=yes
     AC_DEFINE([HAVE_$2], [1], [Whether $1 is used.])])
])

# BASCULE_FOUND(NAME, VARIABLE, MODULE, WHAT): the option --with-NAME for a library that
# is used where it is found: with --with-NAME it must be there, with --without-NAME it is
# not looked for. Sets found_NAME, and the conditional HAVE_VARIABLE.
AC_DEFUN([BASCULE_FOUND], [
  AC_ARG_WITH([$1], [AS_HELP_STRING([--without-$1], [do without $1 for $4])],
              [], [with_$1=found])
  AS_CASE([$with_$1],
    [no], [found_$1="no (--without-$1)"],
    [yes], [PKG_CHECK_MODULES([$2], [$3])
     found_$1=yes],
    [PKG_CHECK_MODULES([$2], [$3], [found_$1=yes], [found_$1=no])])
  AS_IF([test "$found_$1" = yes], [AC_DEFINE([HAVE_$2], [1], [Whether $1 is used.])])
  AM_CONDITIONAL([HAVE_$2], [test "$found_$1" = yes])
])
