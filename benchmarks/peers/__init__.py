"""The same work, done by what a user would pick instead, written the way an ordinary user of each would write it.

Every script is one program: `python SCRIPT OUTPUT_FOLDER ARGUMENT...`; it must not import anything of this project.
"""
