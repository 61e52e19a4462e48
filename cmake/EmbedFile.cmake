# Writes the bytes of INPUT as numbers separated by commas to OUTPUT, for the initialiser of an array.
file(READ "${INPUT}" bytes HEX)
string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(WRITE "${OUTPUT}.new" "${bytes}")
file(RENAME "${OUTPUT}.new" "${OUTPUT}")
