"""json_field.py FILE KEY...: the value below these keys, as text; exits with 1 if it is not there."""

import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    value = json.load(file)
for key in sys.argv[2:]:
    if not isinstance(value, dict) or key not in value:
        sys.exit(1)
    value = value[key]
print(value)
