# One target per folder of src/cadre, so that the linker checks the layers of docs/architecture.md.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(tl-expected QUIET)

# A compiler cache is used where there is one; nothing depends on it. The sloppiness is what it asks for before it keeps
# objects made with precompiled headers, and harmless here: no source prints __TIME__ or counts on a header's macros.
find_program(CADRE_CCACHE ccache)
if(CADRE_CCACHE AND NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros "${CADRE_CCACHE}")
endif()

# Code that need not be fast is optimised less, which shortens the build: tests in a release; with sanitizers, whose
# checks make optimising slow, folders that compute little. Tests are not among these: the linker takes inline functions
# that they share with what they test from the test's object, and would make that slow too.
if(CADRE_SANITIZE)
  set(light_options -O0)
endif()
set(test_options $<$<CONFIG:Release>:-O1>)

# What every target of the project is compiled with. Contraction is off: a fused multiply-add happens only
# where the source says so, which is what makes results equal across compilers and instruction sets.
add_library(cadre_flags INTERFACE)
target_compile_features(cadre_flags INTERFACE cxx_std_20)
target_include_directories(cadre_flags INTERFACE "${PROJECT_SOURCE_DIR}/src")
target_compile_options(cadre_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wno-missing-field-initializers -ffp-contract=off)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # `CADRE_TRY(const auto x, ...)` and designated initialisers that leave defaults are meant.
  target_compile_options(cadre_flags INTERFACE -Wno-gnu-zero-variadic-macro-arguments)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 reports both inside std::string and tl::expected where nothing is wrong (GCC bugs 105329, 105562).
  target_compile_options(cadre_flags INTERFACE -Wno-restrict -Wno-maybe-uninitialized)
  if(CADRE_SANITIZE MATCHES "thread")
    # Asio has fences, which ThreadSanitizer does not see; they stand beside locks, which it does.
    target_compile_options(cadre_flags INTERFACE -Wno-tsan)
  endif()
endif()
if(CMAKE_UNITY_BUILD)
  # These two take the sources of a unit for one source. The presets without units, clang-tidy's among them, keep them.
  target_compile_options(cadre_flags INTERFACE -Wno-shadow $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
endif()
if(CADRE_WERROR)
  target_compile_options(cadre_flags INTERFACE -Werror)
endif()
if(CADRE_SANITIZE)
  target_compile_options(cadre_flags INTERFACE -fsanitize=${CADRE_SANITIZE} -fno-omit-frame-pointer
                         -fno-sanitize-recover=all)
  target_link_options(cadre_flags INTERFACE -fsanitize=${CADRE_SANITIZE})
endif()
# Counts what is reached, which guides the fuzzer; for what parses input, not for tests and kernels.
set(fuzzed_options $<$<BOOL:${CADRE_FUZZ}>:-fsanitize=fuzzer-no-link>)
set(unfuzzed_options $<$<BOOL:${CADRE_FUZZ}>:-fno-sanitize=fuzzer-no-link>)

# Headers of others that nearly every source includes, parsed once for each level of optimisation: cadre_pch and
# cadre_light_pch for the program, cadre_test_pch for tests, which include GoogleTest too. Four sources timed alone took
# clang a fifth to a third less; GCC 12 gains half as much, and warns of std::string where nothing is wrong. Sources still
# name what they use; other builds compile them without.
if(CADRE_PCH)
  set(common_headers <algorithm> <cmath> <filesystem> <functional> <map> <memory> <optional> <span> <string> <vector>
                     <fmt/format.h> <nlohmann/json.hpp>)
  file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/pch.cc" CONTENT "")
  foreach(pch cadre_pch cadre_light_pch cadre_test_pch)
    add_library(${pch} OBJECT "${PROJECT_BINARY_DIR}/pch.cc")
    target_link_libraries(${pch} PRIVATE cadre_flags fmt::fmt nlohmann_json::nlohmann_json Threads::Threads)
    target_precompile_headers(${pch} PRIVATE ${common_headers})
    if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
      target_compile_options(${pch} PRIVATE "SHELL:-Xclang -fno-pch-timestamp")  # for the compiler cache
    endif()
  endforeach()
  target_compile_options(cadre_pch PRIVATE ${fuzzed_options})
  target_compile_options(cadre_light_pch PRIVATE ${fuzzed_options} ${light_options})
  find_package(GTest REQUIRED)
  target_link_libraries(cadre_test_pch PRIVATE GTest::gtest)
  target_precompile_headers(cadre_test_pch PRIVATE <gtest/gtest.h>)
  target_compile_options(cadre_test_pch PRIVATE ${test_options})
endif()
function(cadre_use_pch target pch)
  if(CADRE_PCH)
    target_precompile_headers(${target} REUSE_FROM ${pch})
  endif()
endfunction()

# cadre_source_options(OPTIONS option... SOURCES file...)
# Sources of this folder that are compiled with other options than their neighbours, and so without a precompiled
# header. None of them parses input.
function(cadre_source_options)
  cmake_parse_arguments(arg "" "" "OPTIONS;SOURCES" ${ARGN})
  set_source_files_properties(${arg_SOURCES} PROPERTIES
    COMPILE_OPTIONS "${arg_OPTIONS};${unfuzzed_options}" SKIP_PRECOMPILE_HEADERS ON)
endfunction()

# cadre_library(NAME [LIGHT] [DEPS target...] [EXCLUDE regex])
# Makes the static library cadre_NAME of this folder's *.cc, and the test NAME_test of its *_test.cc. LIGHT: it computes
# little itself.
function(cadre_library name)
  cmake_parse_arguments(arg "LIGHT" "EXCLUDE" "DEPS;TEST_DEPS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "*.cc")
  if(arg_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX "${arg_EXCLUDE}")
  endif()
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  if(sources)
    add_library(cadre_${name} STATIC ${sources})
    target_link_libraries(cadre_${name} PUBLIC cadre_flags ${arg_DEPS})
    target_compile_options(cadre_${name} PRIVATE ${fuzzed_options})
    if(arg_LIGHT)
      target_compile_options(cadre_${name} PRIVATE ${light_options})
      cadre_use_pch(cadre_${name} cadre_light_pch)
    else()
      cadre_use_pch(cadre_${name} cadre_pch)
    endif()
  else()
    add_library(cadre_${name} INTERFACE)
    target_link_libraries(cadre_${name} INTERFACE cadre_flags ${arg_DEPS})
  endif()
  if(CADRE_TESTS AND tests)
    cadre_test(${name}_test SOURCES ${tests} DEPS cadre_${name} ${arg_TEST_DEPS})
  endif()
endfunction()

# cadre_test(NAME SOURCES file... [DEPS target...] [LABELS label...])
function(cadre_test name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS;LABELS" ${ARGN})
  find_package(GTest REQUIRED)
  include(GoogleTest)
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE cadre_flags ${arg_DEPS} GTest::gtest GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE CADRE_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  target_compile_options(${name} PRIVATE ${test_options})
  cadre_use_pch(${name} cadre_test_pch)
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 600 LABELS "${arg_LABELS}")
endfunction()

# cadre_fuzz_target(NAME [DEPS target...])
# From fuzz/NAME.cc, which defines LLVMFuzzerTestOneInput. With CADRE_FUZZ (clang) fuzz_NAME is a libFuzzer program,
# built by `fuzz_targets`; elsewhere replay.cc is its main(). Either replays the corpus fuzz/corpus/NAME as the test
# fuzz_NAME_replay.
function(cadre_fuzz_target name)
  cmake_parse_arguments(arg "" "" "DEPS" ${ARGN})
  set(corpus "${PROJECT_SOURCE_DIR}/fuzz/corpus/${name}")
  add_executable(fuzz_${name} ${name}.cc)
  target_link_libraries(fuzz_${name} PRIVATE cadre_flags ${arg_DEPS})
  if(CADRE_FUZZ)
    target_compile_options(fuzz_${name} PRIVATE ${fuzzed_options})
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    set(replay fuzz_${name} -runs=0 "${corpus}")
    if(NOT TARGET fuzz_targets)
      add_custom_target(fuzz_targets)
    endif()
    add_dependencies(fuzz_targets fuzz_${name})
  else()
    target_sources(fuzz_${name} PRIVATE replay.cc)
    set(replay fuzz_${name} "${corpus}")
  endif()
  if(CADRE_TESTS)
    add_test(NAME fuzz_${name}_replay COMMAND ${replay})
  endif()
endfunction()
