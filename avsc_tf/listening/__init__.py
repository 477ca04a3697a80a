"""Videos of several systems in; a listening test, its answers and their statistics out (paper section 4.5)."""
