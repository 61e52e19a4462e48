# cmake -DNM=... -DOBJECTS=a.o;b.o -P check_symbols.cmake
# Fails if an object defines a symbol that is visible outside it and is not a fill_* function.
if(NOT OBJECTS)
  message(FATAL_ERROR "no objects")
endif()
foreach(object ${OBJECTS})
  execute_process(COMMAND ${NM} --demangle --defined-only --extern-only ${object} OUTPUT_VARIABLE symbols
                  COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX REPLACE "[^\n]* T cadre::fill_[a-z0-9_]+\\(cadre::CpuTable&\\)\n" "" others "${symbols}")
  if(symbols STREQUAL "" OR NOT others STREQUAL "")
    message(FATAL_ERROR "${object} should export its fill function and nothing else, but exports:\n${others}")
  endif()
endforeach()
