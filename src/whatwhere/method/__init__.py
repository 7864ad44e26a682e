"""The paper's method, stage by stage; README.md beside this file maps its sections, equations and symbols."""
