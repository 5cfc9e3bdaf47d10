"""Time zones for tests of the calendar."""

RESTLESS_ZONES = [
    "Africa/Cairo",
    "America/Havana",
    "America/Juneau",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Asia/Manila",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Kiritimati",
    "Pacific/Kwajalein",
]
